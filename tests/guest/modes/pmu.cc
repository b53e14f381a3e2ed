// SPDX-License-Identifier: Apache-2.0
// The performance monitor (Arm ARM, D13): whether there is one, whether it counts, and whether an
// overflow interrupts.
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "modes.h"

namespace guest {
namespace {

constexpr std::uint64_t kCount = 1;                        // PMCR_EL0.E
constexpr std::uint64_t kCycles = std::uint64_t{1} << 31;  // the cycle counter's bit everywhere
// Overflow at 64 bits, not at 32: PMCR_EL0.LC.
constexpr std::uint64_t kLong = 1 << 6;
constexpr std::uint64_t kBeforeOverflow = 1000;

// ID_AA64DFR0_EL1.PMUVer: 0 none, 15 something else than PMUv3.
std::uint64_t Version() {
  std::uint64_t features;
  asm volatile("mrs %0, id_aa64dfr0_el1" : "=r"(features));
  const std::uint64_t version = features >> 8 & 0xf;
  return version == 0xf ? 0 : version;
}

std::uint64_t Control() {
  std::uint64_t control;
  asm volatile("mrs %0, pmcr_el0" : "=r"(control));
  return control;
}

void SetControl(std::uint64_t control) {
  asm volatile("msr pmcr_el0, %0\n\tisb" ::"r"(control) : "memory");
}

std::uint64_t CycleCount() {
  std::uint64_t cycles;
  asm volatile("isb\n\tmrs %0, pmccntr_el0" : "=r"(cycles)::"memory");
  return cycles;
}

// Every counter off, and no overflow that is told or was: all of it is unknown at reset.
void Silence() {
  constexpr std::uint64_t kAll = 0xffff'ffff;
  asm volatile(
      "msr pmcntenclr_el0, %0\n\t"
      "msr pmintenclr_el1, %0\n\t"
      "msr pmovsclr_el0, %0\n\t"
      "isb" ::"r"(kAll)
      : "memory");
}

// From `cycles` on, at EL1 too; an overflow interrupts.
void StartCycleCounter(std::uint64_t cycles) {
  asm volatile(
      "msr pmccfiltr_el0, xzr\n\t"
      "msr pmccntr_el0, %1\n\t"
      "msr pmintenset_el1, %0\n\t"
      "msr pmcntenset_el0, %0\n\t"
      "isb" ::"r"(kCycles),
      "r"(cycles)
      : "memory");
}

void Overflow(void* context, const ExceptionFrame& /*frame*/) {
  Silence();
  static_cast<std::atomic<std::uint64_t>*>(context)->fetch_add(1);
}

std::uint64_t CyclesOfLoop(std::uint64_t count) {
  StartCycleCounter(0);
  const std::uint64_t before = CycleCount();
  for (std::uint64_t i = 0; i < count; ++i) asm volatile("" ::: "memory");
  const std::uint64_t cycles = CycleCount() - before;
  Silence();
  return cycles;
}

std::uint64_t CountOverflows(Guest& guest) {
  std::atomic<std::uint64_t> overflows = 0;
  const Interrupt interrupt = guest.board().pmu;
  guest.StartInterrupts();
  guest.gic().SetHandler(interrupt.intid, {&Overflow, &overflows});
  guest.gic().Enable(interrupt);
  StartCycleCounter(~kBeforeOverflow);
  const std::uint64_t deadline = DeadlineAfter(guest.Number("timeout_ms", 1000) * 1000);
  while (overflows == 0 && Counter() < deadline) {
  }
  WaitMicroseconds(1000);  // for one too many
  Silence();
  guest.gic().Disable(interrupt);
  return overflows;
}

}  // namespace

void RunPmu(Guest& guest) {
  const std::uint64_t version = Version();
  const bool in_tree = guest.board().pmu.intid != 0;
  if ((version != 0) != in_tree) Fail("pmu: version=", version, " in the tree: ", in_tree ? 1 : 0);
  if (version == 0) {
    guest.console().Line("pmu=0");
    return;
  }
  const std::uint64_t counters = Control() >> 11 & 0x1f;
  Silence();
  SetControl(kCount | kLong);
  const std::uint64_t cycles = CyclesOfLoop(guest.Number("count", 10000));
  const std::uint64_t overflows = CountOverflows(guest);
  SetControl(0);
  if (cycles == 0 || overflows != 1) Fail("pmu: cycles=", cycles, " overflows=", overflows);
  guest.console().Line("pmu=1 version=", version, " counters=", counters, " cycles=", cycles,
                       " overflows=", overflows);
}

}  // namespace guest
