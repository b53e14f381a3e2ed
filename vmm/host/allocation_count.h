// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace microvm {

// How often the calling thread has allocated memory with operator new, in a program that has the
// counting one (vmm/counting_new.cc); else 0.
std::uint64_t ThreadAllocations() noexcept;
void CountAllocation() noexcept;

}  // namespace microvm
