// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace microvm {

// A text in quotes, as TOML and the sources of device trees have it; control characters are spaces.
std::string Quoted(std::string_view text);

// A property's value as it stands in the source of a device tree, strings where it is text, cells,
// or bytes: ` = "okay"`, ` = <0x1 0x2>`, ` = [00 01 02]`; "" if it is empty. dtc reads it back as
// these bytes.
std::string FormatValue(std::span<const std::byte> value);

}  // namespace microvm
