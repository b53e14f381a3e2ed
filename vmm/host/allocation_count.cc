// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/allocation_count.h"

namespace microvm {
namespace {

thread_local std::uint64_t allocations = 0;

}  // namespace

std::uint64_t ThreadAllocations() noexcept { return allocations; }
void CountAllocation() noexcept { ++allocations; }

}  // namespace microvm
