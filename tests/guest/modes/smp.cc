// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "../secondary.h"
#include "modes.h"

namespace guest {
namespace {

constexpr std::uint32_t kPing = 1;  // INTID of the software interrupt
constexpr std::uint64_t kTimeoutUs = 2'000'000;

// AFFINITY_INFO results (DEN 0022, 5.7.2).
constexpr std::int64_t kOn = 0;
constexpr std::int64_t kOff = 1;

// One CPU at work; shared between it and the boot CPU.
struct Worker {
  Gic* gic = nullptr;
  std::uint64_t affinity = 0;
  std::atomic<std::uint64_t> seen_affinity = ~0ULL;
  std::atomic<std::uint64_t> answers = 0;
  std::atomic<bool> online = false;
  std::atomic<bool> stop = false;
};

constinit std::array<Worker, kMaxCpus> workers;
constinit std::array<Secondary, kMaxCpus> secondaries;

void AnswerPing(void* /*context*/, const ExceptionFrame& /*frame*/) {
  const std::uint64_t own = Affinity();
  for (Worker& worker : workers) {
    if (worker.affinity == own) worker.answers.fetch_add(1);
  }
}

void Work(void* context) {
  Worker& worker = *static_cast<Worker*>(context);
  worker.seen_affinity = Affinity();
  worker.gic->StartCpu();
  worker.online = true;
  while (!worker.stop) {
    WaitForInterrupt();
    UnmaskInterrupts();
    MaskInterrupts();
  }
}

template <typename Condition>
void WaitUntil(Condition condition, std::string_view what, unsigned cpu) {
  const std::uint64_t deadline = DeadlineAfter(kTimeoutUs);
  while (!condition()) {
    if (Counter() > deadline) Fail("cpu ", cpu, ": ", what);
  }
}

void Expect(std::int64_t result, std::int64_t expected, std::string_view call, unsigned cpu) {
  if (result != expected) Fail("cpu ", cpu, ": ", call, " returned ", result, ", not ", expected);
}

void TurnOn(Guest& guest, unsigned cpu) {
  Worker& worker = workers[cpu];
  worker.gic = &guest.gic();
  worker.affinity = guest.board().cpus[cpu];
  worker.seen_affinity = ~0ULL;
  worker.answers = 0;
  worker.online = false;
  worker.stop = false;
  const auto turn_on = [&] {
    return secondaries[cpu].TurnOn(guest.psci(), worker.affinity, guest.address_space().registers(),
                                   &Work, &worker);
  };
  Expect(turn_on(), kPsciSuccess, "CPU_ON", cpu);
  WaitUntil([&] { return worker.online.load(); }, "does not come up", cpu);
  if (worker.seen_affinity != worker.affinity) {
    Fail("cpu ", cpu, ": affinity ", Hex{worker.seen_affinity}, ", not ", Hex{worker.affinity});
  }
  Expect(turn_on(), kPsciAlreadyOn, "CPU_ON of a running CPU", cpu);
  Expect(guest.psci().Call(PsciFunction::kAffinityInfo, worker.affinity), kOn, "AFFINITY_INFO",
         cpu);
}

void TurnOff(Guest& guest, unsigned cpu) {
  Worker& worker = workers[cpu];
  worker.stop = true;
  guest.gic().SendSoftwareInterrupt(kPing, worker.affinity, cpu);
  const auto is_off = [&] {
    return guest.psci().Call(PsciFunction::kAffinityInfo, worker.affinity) == kOff;
  };
  WaitUntil(is_off, "does not go off", cpu);
}

void Ping(Guest& guest, unsigned cpu, std::uint64_t count) {
  Worker& worker = workers[cpu];
  for (std::uint64_t i = 1; i <= count; ++i) {
    guest.gic().SendSoftwareInterrupt(kPing, worker.affinity, cpu);
    WaitUntil([&] { return worker.answers.load() >= i; }, "does not answer", cpu);
  }
  if (worker.answers != count)
    Fail("cpu ", cpu, ": ", worker.answers.load(), " answers to ", count);
}

// An affinity that no CPU of the tree has.
std::uint64_t AbsentAffinity(const Board& board) {
  std::uint64_t absent = 0;
  for (const std::uint64_t affinity : board.cpus) absent |= affinity;
  return absent | 0xff'0000;
}

}  // namespace

void RunSmp(Guest& guest) {
  const auto cpus = static_cast<unsigned>(guest.board().cpus.size());
  const std::uint64_t count = guest.Number("count", 100);
  const std::uint64_t rounds = guest.Number("rounds", 2);
  if (guest.board().cpus[0] != Affinity()) Fail("the boot CPU is not the first in the tree");
  guest.StartInterrupts();
  guest.gic().SetHandler(kPing, {&AnswerPing, nullptr});
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (unsigned cpu = 1; cpu < cpus; ++cpu) TurnOn(guest, cpu);
    for (unsigned cpu = 1; cpu < cpus; ++cpu) Ping(guest, cpu, count);
    for (unsigned cpu = 1; cpu < cpus; ++cpu) TurnOff(guest, cpu);
  }
  const Psci& psci = guest.psci();
  Expect(psci.Call(PsciFunction::kCpuOn, guest.board().cpus[0]), kPsciAlreadyOn, "CPU_ON of itself",
         0);
  Expect(psci.Call(PsciFunction::kCpuOn, AbsentAffinity(guest.board())), kPsciInvalidParameters,
         "CPU_ON of no CPU", cpus);
  guest.console().Line("cpus=", cpus, " rounds=", rounds, " answers=", count * (cpus - 1) * rounds);
}

}  // namespace guest
