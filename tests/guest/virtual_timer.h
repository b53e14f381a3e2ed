// SPDX-License-Identifier: Apache-2.0
// The virtual timer of the CPU it runs on (Arm ARM, D12.2.4).
#pragma once

#include <cstdint>

namespace guest {

// Interrupts once the virtual counter is at `ticks`, until it is stopped.
inline void SetTimer(std::uint64_t ticks) {
  asm volatile(
      "msr cntv_cval_el0, %0\n\t"
      "msr cntv_ctl_el0, %1\n\t"
      "isb" ::"r"(ticks),
      "r"(1UL)
      : "memory");
}

inline void StopTimer() { asm volatile("msr cntv_ctl_el0, xzr\n\tisb" ::: "memory"); }

}  // namespace guest
