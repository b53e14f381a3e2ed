// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace microvm {

// What has been written to `memory` before is what a guest reads there that maps it as a device:
// such reads may go past the caches (Arm ARM, D7: DC CVAC). Linux lets user space do so (UCI).
void CleanToPointOfCoherency(std::span<const std::byte> memory) noexcept;

}  // namespace microvm
