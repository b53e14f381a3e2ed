// SPDX-License-Identifier: Apache-2.0
// CPUs other than the boot CPU: from PSCI CPU_ON to a C++ function with a stack and the MMU on,
// and back off again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "mmu.h"
#include "psci.h"

namespace guest {

// What secondary_entry in start.S loads, in its order.
struct SecondaryStart {
  std::uint64_t stack_top;
  MmuRegisters mmu;
  void (*run)(void* context);  // with interrupts masked; returns to switch the CPU off
  void* context;
  const Psci* psci;
};
static_assert(offsetof(SecondaryStart, mmu) == 8 && offsetof(SecondaryStart, run) == 40);

class Secondary {
 public:
  // One CPU_ON; `run` runs on the other CPU if the result is kPsciSuccess. The object stays until
  // that CPU is off again.
  std::int64_t TurnOn(const Psci& psci, std::uint64_t affinity, const MmuRegisters& mmu,
                      void (*run)(void*), void* context);

 private:
  SecondaryStart start_{};
  alignas(16) std::array<std::byte, 16384> stack_{};
};

}  // namespace guest
