// SPDX-License-Identifier: Apache-2.0
// The distributor registers that GICv2 and GICv3 share (IHI 0048, 4.3; IHI 0069, 12.9), and that
// a GICv3 redistributor repeats for its CPU's private interrupts.
#pragma once

#include <cstdint>

#include "board.h"
#include "mmio.h"

namespace guest {

class GicDistributor {
 public:
  static constexpr std::uint64_t kControl = 0x000;
  static constexpr std::uint64_t kType = 0x004;
  static constexpr std::uint64_t kGroup = 0x080;
  static constexpr std::uint64_t kSetEnable = 0x100;
  static constexpr std::uint64_t kClearEnable = 0x180;
  static constexpr std::uint64_t kPending = 0x200;
  static constexpr std::uint64_t kActive = 0x300;
  static constexpr std::uint64_t kPriority = 0x400;
  static constexpr std::uint64_t kTargets = 0x800;  // GICv2
  static constexpr std::uint64_t kConfiguration = 0xc00;
  static constexpr std::uint8_t kOrdinaryPriority = 0xa0;

  explicit GicDistributor(std::uint64_t base) : base_(base) {}

  // How many INTIDs below 1020 exist.
  [[nodiscard]] std::uint32_t lines() const {
    const std::uint32_t lines = ((Read32(base_ + kType) & 0x1f) + 1) * 32;
    return lines < 1020 ? lines : 1020;
  }

  [[nodiscard]] bool Bit(std::uint64_t bank, std::uint32_t intid) const {
    return (Read32(BitWord(bank, intid)) >> intid % 32 & 1) != 0;
  }
  // For banks where writing 0 means nothing.
  void SetBit(std::uint64_t bank, std::uint32_t intid) const {
    Write32(BitWord(bank, intid), 1U << intid % 32);
  }
  void SetPriority(std::uint32_t intid) const {
    Write<std::uint8_t>(base_ + kPriority + intid, kOrdinaryPriority);
  }
  void SetTrigger(Interrupt interrupt) const {
    const std::uint64_t address = base_ + kConfiguration + std::uint64_t{interrupt.intid} / 16 * 4;
    const std::uint32_t edge = 2U << interrupt.intid % 16 * 2;
    const std::uint32_t others = Read32(address) & ~edge;
    Write32(address, others | (interrupt.trigger == Trigger::kEdge ? edge : 0));
  }

 private:
  [[nodiscard]] std::uint64_t BitWord(std::uint64_t bank, std::uint64_t intid) const {
    return base_ + bank + intid / 32 * 4;
  }

  std::uint64_t base_;
};

}  // namespace guest
