// SPDX-License-Identifier: Apache-2.0
// The Arm PL011 UART (TRM DDI 0183), polled for output, by interrupt for input.
#pragma once

#include <cstdint>
#include <optional>

#include "mmio.h"

namespace guest {

class Pl011 {
 public:
  static constexpr std::uint64_t kData = 0x00;
  static constexpr std::uint64_t kFlags = 0x18;

  Pl011() = default;

  // Enables transmission and reception with FIFOs, 8 bits; leaves the baud rate as it is.
  explicit Pl011(std::uint64_t base);

  // Waits while the transmit FIFO is full.
  void Put(char c) const;

  // The next received character, if any.
  [[nodiscard]] std::optional<char> Get() const;

  // Raises the interrupt line whenever a character waits, FIFO trigger level or time-out.
  void EnableReceiveInterrupt() const;
  void ClearReceiveInterrupt() const;

  // Raises the interrupt line when what was put has left, until it is cleared.
  void EnableTransmitInterrupt() const;
  [[nodiscard]] bool transmit_line() const;
  void ClearTransmitInterrupt() const;
  void DisableInterrupts() const;

  [[nodiscard]] std::uint64_t base() const { return base_; }

 private:
  std::uint64_t base_ = 0;
};

}  // namespace guest
