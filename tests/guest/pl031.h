// SPDX-License-Identifier: Apache-2.0
// The Arm PL031 real-time clock (TRM DDI 0224), here a generator of level interrupts: writing the
// present time to the match register raises the line, which stays up until it is cleared.
#pragma once

#include <cstdint>

#include "mmio.h"

namespace guest {

class Pl031 {
 public:
  Pl031() = default;
  // Touches nothing: what an earlier boot left in the device can still be read.
  explicit Pl031(std::uint64_t base) : base_(base) {}

  [[nodiscard]] std::uint32_t now() const { return Read32(base_ + kData); }
  [[nodiscard]] std::uint32_t match() const { return Read32(base_ + kMatch); }
  [[nodiscard]] std::uint32_t load() const { return Read32(base_ + kLoad); }

  // The device's own state, before and after its mask; the second is the line.
  [[nodiscard]] bool raised() const { return Read32(base_ + kRawStatus) != 0; }
  [[nodiscard]] bool line() const { return Read32(base_ + kMaskedStatus) != 0; }

  [[gnu::always_inline]] void SetMatch(std::uint32_t seconds) const {
    Write32(base_ + kMatch, seconds);
  }
  void SetLoad(std::uint32_t seconds) const { Write32(base_ + kLoad, seconds); }
  [[gnu::always_inline]] void Clear() const { Write32(base_ + kClear, 1); }
  void EnableLine() const { Write32(base_ + kMask, 1); }
  void DisableLine() const { Write32(base_ + kMask, 0); }

  // Raises and returns once the device says so: a second may tick between reading the time and
  // writing it. The line must not have a handler that clears it meanwhile.
  void RaiseAndHold() const {
    do {
      SetMatch(now());
    } while (!raised());
  }

  // Line down and masked.
  void Quiesce() const {
    DisableLine();
    Clear();
  }

  [[nodiscard]] std::uint64_t base() const { return base_; }

 private:
  static constexpr std::uint64_t kData = 0x00;
  static constexpr std::uint64_t kMatch = 0x04;
  static constexpr std::uint64_t kLoad = 0x08;
  static constexpr std::uint64_t kMask = 0x10;
  static constexpr std::uint64_t kRawStatus = 0x14;
  static constexpr std::uint64_t kMaskedStatus = 0x18;
  static constexpr std::uint64_t kClear = 0x1c;

  std::uint64_t base_ = 0;
};

}  // namespace guest
