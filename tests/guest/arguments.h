// SPDX-License-Identifier: Apache-2.0
// The kernel command line as the guest understands it: blank-separated name=value pairs.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace guest {

class Arguments {
 public:
  explicit Arguments(std::string_view text) : text_(text) {}

  // The value of the last `name=value`; what the guest does not know it ignores.
  [[nodiscard]] std::optional<std::string_view> Text(std::string_view name) const;

  // As Text, for a decimal number or `otherwise`; fails on anything that is not one.
  [[nodiscard]] std::uint64_t Number(std::string_view name, std::uint64_t otherwise) const;

 private:
  std::string_view text_;
};

// Takes the part of `text` up to the next `separator` off its front.
std::string_view TakeWord(std::string_view& text, char separator);

}  // namespace guest
