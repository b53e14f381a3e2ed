// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

#include "failure.h"

namespace guest {

std::string_view TakeWord(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return word;
}

std::optional<std::string_view> Arguments::Text(std::string_view name) const {
  std::optional<std::string_view> value;
  for (std::string_view rest = text_; !rest.empty();) {
    std::string_view word = TakeWord(rest, ' ');
    if (!word.starts_with(name)) continue;
    word.remove_prefix(name.size());
    if (!word.starts_with('=')) continue;
    word.remove_prefix(1);
    value = word;
  }
  return value;
}

std::uint64_t Arguments::Number(std::string_view name, std::uint64_t otherwise) const {
  const std::optional<std::string_view> text = Text(name);
  if (!text) return otherwise;
  std::uint64_t number = 0;
  for (const char c : *text) {
    if (c < '0' || c > '9') Fail(name, "=", *text, " is not a number");
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

}  // namespace guest
