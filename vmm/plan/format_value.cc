// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/format_value.h"

#include <algorithm>

#include "vmm/fdt/device_tree.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

bool IsText(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

std::string TwoDigits(std::byte byte) {
  const auto number = std::to_integer<unsigned>(byte);
  return (number < 0x10 ? "0" : "") + Hex(number).substr(2);
}

}  // namespace

std::string Quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + '"';
}

std::string FormatValue(std::span<const std::byte> value) {
  if (value.empty()) return "";
  const DtProperty property{"", value};
  const std::vector<std::string> strings = property.Strings();
  std::string result;
  if (!strings.empty() && std::all_of(strings.begin(), strings.end(), IsText)) {
    for (const std::string& text : strings) result += (result.empty() ? "" : ", ") + Quoted(text);
    return " = " + result;
  }
  if (const auto cells = property.Cells()) {
    for (const std::uint32_t cell : *cells) result += (result.empty() ? "" : " ") + Hex(cell);
    return " = <" + result + ">";
  }
  for (const std::byte byte : value) result += (result.empty() ? "" : " ") + TwoDigits(byte);
  return " = [" + result + "]";
}

}  // namespace microvm
