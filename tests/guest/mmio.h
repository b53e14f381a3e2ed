// SPDX-License-Identifier: Apache-2.0
// Loads and stores of device registers. Each is exactly one instruction with one general register
// and no write-back, the form a hypervisor can decode (Arm ARM, ESR_EL2.ISV).
#pragma once

#include <concepts>
#include <cstdint>

namespace guest {

template <std::unsigned_integral T>
[[gnu::always_inline]] inline T Read(std::uint64_t address) {
  T value;
  if constexpr (sizeof(T) == 1) asm volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(address));
  if constexpr (sizeof(T) == 2) asm volatile("ldrh %w0, [%1]" : "=r"(value) : "r"(address));
  if constexpr (sizeof(T) == 4) asm volatile("ldr %w0, [%1]" : "=r"(value) : "r"(address));
  if constexpr (sizeof(T) == 8) asm volatile("ldr %x0, [%1]" : "=r"(value) : "r"(address));
  return value;
}

template <std::unsigned_integral T>
[[gnu::always_inline]] inline void Write(std::uint64_t address, T value) {
  if constexpr (sizeof(T) == 1) asm volatile("strb %w0, [%1]" ::"r"(value), "r"(address));
  if constexpr (sizeof(T) == 2) asm volatile("strh %w0, [%1]" ::"r"(value), "r"(address));
  if constexpr (sizeof(T) == 4) asm volatile("str %w0, [%1]" ::"r"(value), "r"(address));
  if constexpr (sizeof(T) == 8) asm volatile("str %x0, [%1]" ::"r"(value), "r"(address));
}

[[gnu::always_inline]] inline std::uint32_t Read32(std::uint64_t address) {
  return Read<std::uint32_t>(address);
}

[[gnu::always_inline]] inline void Write32(std::uint64_t address, std::uint32_t value) {
  Write<std::uint32_t>(address, value);
}

}  // namespace guest
