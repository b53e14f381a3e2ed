// SPDX-License-Identifier: Apache-2.0
// What the guest asks of the CPU it runs on: time, identity, barriers, interrupt masking.
// Register names and encodings: Arm ARM (DDI 0487), D19.
#pragma once

#include <cstdint>

namespace guest {

// The virtual counter, read after everything before it has completed (Arm ARM, D12.2.1: without
// the ISB the read may be speculated).
[[gnu::always_inline]] inline std::uint64_t Counter() {
  std::uint64_t ticks;
  asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks)::"memory");
  return ticks;
}

inline std::uint64_t CounterFrequency() {
  std::uint64_t hertz;
  asm volatile("mrs %0, cntfrq_el0" : "=r"(hertz));
  return hertz;
}

// The counter's value this many microseconds from now.
inline std::uint64_t DeadlineAfter(std::uint64_t microseconds) {
  return Counter() + CounterFrequency() * microseconds / 1'000'000;
}

inline void WaitMicroseconds(std::uint64_t microseconds) {
  const std::uint64_t deadline = DeadlineAfter(microseconds);
  while (Counter() < deadline) {
  }
}

// MPIDR_EL1's affinity fields, in the form of a cpu node's `reg` (binding: arm/cpus.yaml).
inline std::uint64_t Affinity() {
  std::uint64_t mpidr;
  asm volatile("mrs %0, mpidr_el1" : "=r"(mpidr));
  return mpidr & 0xff'00ff'ffff;
}

[[gnu::always_inline]] inline void InstructionBarrier() { asm volatile("isb" ::: "memory"); }
[[gnu::always_inline]] inline void DataBarrier() { asm volatile("dsb sy" ::: "memory"); }
inline void WaitForInterrupt() { asm volatile("dsb sy\n\twfi" ::: "memory"); }

inline void UnmaskInterrupts() { asm volatile("msr daifclr, #2\n\tisb" ::: "memory"); }
inline void MaskInterrupts() { asm volatile("msr daifset, #2" ::: "memory"); }

// Writes cached data back to memory, for a CPU that reads with its MMU off.
inline void CleanToMemory(const void* start, std::uint64_t size) {
  std::uint64_t type;
  asm("mrs %0, ctr_el0" : "=r"(type));
  const std::uint64_t line = 4ULL << (type >> 16 & 0xf);
  const auto first = reinterpret_cast<std::uint64_t>(start);
  for (std::uint64_t at = first & ~(line - 1); at < first + size; at += line) {
    asm volatile("dc civac, %0" ::"r"(at) : "memory");
  }
  DataBarrier();
}

inline void UnmaskSystemErrors() { asm volatile("msr daifclr, #4\n\tisb" ::: "memory"); }
inline void MaskSystemErrors() { asm volatile("msr daifset, #4" ::: "memory"); }

// Stops this CPU for good, when there is nobody left to tell.
[[noreturn]] inline void Halt() {
  MaskInterrupts();
  while (true) WaitForInterrupt();
}

}  // namespace guest
