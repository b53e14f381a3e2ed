// SPDX-License-Identifier: Apache-2.0
// Text on the PL011: the guest's only way to report. Used by the boot CPU alone.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

#include "pl011.h"

namespace guest {

// A number to be printed as 0x….
struct Hex {
  std::uint64_t value;
};

class Console {
 public:
  Console() = default;
  explicit Console(Pl011 uart) : uart_(uart) {}

  // Prints the parts one after the other: strings, integers in decimal, Hex.
  template <typename... Parts>
  void Print(const Parts&... parts) const {
    (Put(parts), ...);
  }

  // As Print, and ends the line.
  template <typename... Parts>
  void Line(const Parts&... parts) const {
    (Put(parts), ...);
    Put("\n");
  }

  [[nodiscard]] const Pl011& uart() const { return uart_; }

 private:
  void Put(std::string_view text) const;
  void Put(Hex number) const;
  void PutDecimal(std::uint64_t value) const;

  template <std::unsigned_integral T>
  void Put(T value) const {
    PutDecimal(value);
  }
  template <std::signed_integral T>
  void Put(T value) const {
    if (value < 0) Put("-");
    PutDecimal(value < 0 ? 0 - static_cast<std::uint64_t>(value)
                         : static_cast<std::uint64_t>(value));
  }

  Pl011 uart_;
};

}  // namespace guest
