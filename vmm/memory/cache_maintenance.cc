// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/cache_maintenance.h"

namespace microvm {

#if defined(__aarch64__)

void CleanToPointOfCoherency(std::span<const std::byte> memory) noexcept {
  std::size_t cache_type = 0;
  asm("mrs %0, ctr_el0" : "=r"(cache_type));
  // CTR_EL0.DminLine: log2 of the words in the smallest line.
  const std::size_t line = std::size_t{4} << ((cache_type >> 16) & 0xf);
  const std::byte* const end = memory.data() + memory.size();
  const auto misalignment = reinterpret_cast<std::uintptr_t>(memory.data()) % line;
  for (const std::byte* at = memory.data() - misalignment; at < end; at += line) {
    asm volatile("dc cvac, %0" : : "r"(at) : "memory");
  }
  asm volatile("dsb sy" : : : "memory");
}

#else

// The host is no target, and runs no guest: the unit tests' build.
void CleanToPointOfCoherency(std::span<const std::byte> /*memory*/) noexcept {}

#endif

}  // namespace microvm
