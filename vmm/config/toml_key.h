// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace microvm {

// A key as TOML has it: between quotes unless it is a bare one (TOML 1.0.0, "Keys"). Pure.
std::string TomlKey(std::string_view name);

}  // namespace microvm
