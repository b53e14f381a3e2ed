// SPDX-License-Identifier: Apache-2.0
// Loads and stores of the device's registers, as the command line lists them.
#include "../failure.h"
#include "../mmio.h"
#include "modes.h"

namespace guest {
namespace {

std::uint64_t TakeHex(std::string_view& text) {
  const std::string_view word = TakeWord(text, ':');
  if (word.empty()) Fail("do=: a number is missing");
  std::uint64_t number = 0;
  for (const char c : word) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) Fail("do=: ", word, " is not hexadecimal");
    number = number << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return number;
}

template <typename T>
std::uint64_t Access(std::uint64_t address, bool write, std::uint64_t value) {
  if (!write) return Read<T>(address);
  Write<T>(address, static_cast<T>(value));
  return value;
}

// KIND WIDTH : REGION : OFFSET [: VALUE]
void RunOne(const Guest& guest, std::string_view text) {
  const std::string_view whole = text;
  const std::string_view kind = TakeWord(text, ':');
  if (kind.size() != 2 || (kind[0] != 'r' && kind[0] != 'w')) Fail("do=: unknown ", whole);
  const bool write = kind[0] == 'w';
  const auto& regions = guest.board().device.regions;
  const std::uint64_t region = TakeHex(text);
  if (region >= regions.size()) Fail("do=: the device has no region ", region);
  const std::uint64_t address = regions[region].start + TakeHex(text);
  std::uint64_t value = write ? TakeHex(text) : 0;
  switch (kind[1]) {
    case '1':
      value = Access<std::uint8_t>(address, write, value);
      break;
    case '2':
      value = Access<std::uint16_t>(address, write, value);
      break;
    case '4':
      value = Access<std::uint32_t>(address, write, value);
      break;
    case '8':
      value = Access<std::uint64_t>(address, write, value);
      break;
    default:
      Fail("do=: unknown ", whole);
  }
  guest.console().Line("access=", whole, " value=", Hex{value});
}

}  // namespace

void RunAccess(Guest& guest) {
  std::string_view list = guest.arguments().Text("do").value_or("");
  if (list.empty()) Fail("no do= on the command line");
  while (!list.empty()) RunOne(guest, TakeWord(list, ','));
}

}  // namespace guest
