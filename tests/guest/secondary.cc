// SPDX-License-Identifier: Apache-2.0
#include "secondary.h"

#include "cpu.h"

extern "C" void secondary_entry();

namespace guest {

extern "C" void SecondaryMain(const SecondaryStart& start) {
  start.run(start.context);
  (void)start.psci->Call(PsciFunction::kCpuOff);
  Halt();
}

std::int64_t Secondary::TurnOn(const Psci& psci, std::uint64_t affinity, const MmuRegisters& mmu,
                               void (*run)(void*), void* context) {
  start_ = {.stack_top = reinterpret_cast<std::uint64_t>(stack_.data() + stack_.size()),
            .mmu = mmu,
            .run = run,
            .context = context,
            .psci = &psci};
  CleanToMemory(&start_, sizeof(start_));
  return psci.Call(PsciFunction::kCpuOn, affinity,
                   reinterpret_cast<std::uint64_t>(&secondary_entry),
                   reinterpret_cast<std::uint64_t>(&start_));
}

}  // namespace guest
