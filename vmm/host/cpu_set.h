// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace microvm {

using CpuSet = std::set<unsigned>;

// "0-3,7" as the kernel writes sets of CPUs (Documentation/core-api/printk-formats.rst, %*pbl);
// what is malformed is left out. Pure.
CpuSet ParseCpuList(std::string_view text);
std::string FormatCpuList(const CpuSet& cpus);

}  // namespace microvm
