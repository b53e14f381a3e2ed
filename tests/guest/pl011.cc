// SPDX-License-Identifier: Apache-2.0
#include "pl011.h"

namespace guest {
namespace {

constexpr std::uint64_t kLineControl = 0x2c;
constexpr std::uint64_t kControl = 0x30;
constexpr std::uint64_t kInterruptMask = 0x38;
constexpr std::uint64_t kMaskedStatus = 0x40;
constexpr std::uint64_t kInterruptClear = 0x44;

constexpr std::uint32_t kReceiveEmpty = 1 << 4;
constexpr std::uint32_t kTransmitFull = 1 << 5;
constexpr std::uint32_t kFifos8Bits = 1 << 4 | 3 << 5;
constexpr std::uint32_t kEnable = 1 << 0 | 1 << 8 | 1 << 9;
constexpr std::uint32_t kReceiveAndTimeout = 1 << 4 | 1 << 6;
constexpr std::uint32_t kTransmit = 1 << 5;
constexpr std::uint32_t kAllInterrupts = 0x7ff;

}  // namespace

Pl011::Pl011(std::uint64_t base) : base_(base) {
  Write32(base_ + kControl, 0);
  Write32(base_ + kInterruptMask, 0);
  Write32(base_ + kInterruptClear, kAllInterrupts);
  Write32(base_ + kLineControl, kFifos8Bits);
  Write32(base_ + kControl, kEnable);
}

void Pl011::Put(char c) const {
  while ((Read32(base_ + kFlags) & kTransmitFull) != 0) {
  }
  Write32(base_ + kData, static_cast<unsigned char>(c));
}

std::optional<char> Pl011::Get() const {
  if ((Read32(base_ + kFlags) & kReceiveEmpty) != 0) return std::nullopt;
  return static_cast<char>(Read32(base_ + kData) & 0xff);
}

void Pl011::EnableReceiveInterrupt() const { Write32(base_ + kInterruptMask, kReceiveAndTimeout); }

void Pl011::ClearReceiveInterrupt() const { Write32(base_ + kInterruptClear, kReceiveAndTimeout); }

void Pl011::EnableTransmitInterrupt() const { Write32(base_ + kInterruptMask, kTransmit); }

bool Pl011::transmit_line() const { return (Read32(base_ + kMaskedStatus) & kTransmit) != 0; }

void Pl011::ClearTransmitInterrupt() const { Write32(base_ + kInterruptClear, kTransmit); }

void Pl011::DisableInterrupts() const {
  Write32(base_ + kInterruptMask, 0);
  Write32(base_ + kInterruptClear, kAllInterrupts);
}

}  // namespace guest
