// SPDX-License-Identifier: Apache-2.0
#include "console.h"

#include <array>

namespace guest {

void Console::Put(std::string_view text) const {
  for (const char c : text) {
    if (c == '\n') uart_.Put('\r');
    uart_.Put(c);
  }
}

void Console::Put(Hex number) const {
  Put("0x");
  int shift = 60;
  while (shift > 0 && number.value >> shift == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) uart_.Put("0123456789abcdef"[number.value >> shift & 0xf]);
}

void Console::PutDecimal(std::uint64_t value) const {
  std::array<char, 20> digits;
  std::size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (count > 0) uart_.Put(digits[--count]);
}

}  // namespace guest
