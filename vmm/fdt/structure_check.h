// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace microvm {

// Walks the tokens of a device tree blob's structure block (Devicetree Specification 5.4), within
// its bounds: libfdt 1.6.1 lets the length of a property wrap around, and follows a null pointer in
// blobs older than version 16, which Linux does not take. What is no blob by its magic number is
// left to libfdt. Throws Error.
void CheckStructure(std::span<const std::byte> blob);

}  // namespace microvm
