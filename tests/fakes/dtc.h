// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace microvm::fakes {

struct Decompiled {
  std::string source;
  std::string warnings;
};

// The tree that dtc makes of a source; throws if it makes none.
std::vector<std::byte> CompileSource(const std::string& source);

// What `dtc -I dtb -O dts` makes of a tree, and what it has to say about it.
Decompiled RunDtc(std::span<const std::byte> blob);

}  // namespace microvm::fakes
