// SPDX-License-Identifier: Apache-2.0
// Two CPUs: what wakes the one is done by the other. Both sleep whenever they wait, so that one
// host CPU can run both, whatever its scheduler.
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "../samples.h"
#include "../secondary.h"
#include "../virtual_timer.h"
#include "modes.h"

namespace guest {
namespace {

constexpr std::uint32_t kCall = 1;    // INTIDs of software interrupts: to the second CPU,
constexpr std::uint32_t kAnswer = 2;  // and back

constinit Samples call_to_handler;
constinit Samples call_to_answer;
constinit Samples raise_to_handler_asleep;
constinit Secondary secondary;

// Shared by both CPUs and their handlers.
struct Pair {
  Gic* gic = nullptr;
  Pl031 device;
  Interrupt timer;
  std::uint64_t first_affinity = 0;
  std::uint64_t period_us = 0;
  std::atomic<bool> called = false;
  std::atomic<std::uint64_t> call_time = 0;  // when the second CPU's handler ran
  std::atomic<bool> answered = false;
  std::atomic<bool> raising = false;  // the second CPU raises the line each period
  std::atomic<bool> stop = false;
  std::atomic<bool> ticked = false;
  std::atomic<std::uint64_t> raise_time = 0;  // 0: not in flight
  std::atomic<std::uint64_t> handler_time = 0;
};
constinit Pair pair;

void OnCall(void* /*context*/, const ExceptionFrame& /*frame*/) {
  pair.call_time = Counter();
  pair.called = true;
}
void OnAnswer(void* /*context*/, const ExceptionFrame& /*frame*/) { pair.answered = true; }
void OnTick(void* /*context*/, const ExceptionFrame& /*frame*/) {
  StopTimer();
  pair.ticked = true;
}
void OnRaise(void* /*context*/, const ExceptionFrame& /*frame*/) {
  pair.handler_time = Counter();
  DataBarrier();
  pair.device.Clear();
}

// Interrupts are masked before and after, so that none is taken between the look and the WFI.
template <typename Condition>
void SleepUntil(Condition condition) {
  while (!condition()) {
    WaitForInterrupt();
    UnmaskInterrupts();
    MaskInterrupts();
  }
}

// One period later, unless the last one is still on its way.
void RaiseAfterPeriod() {
  pair.ticked = false;
  SetTimer(DeadlineAfter(pair.period_us));
  SleepUntil([] { return pair.ticked.load() || pair.stop.load(); });
  if (pair.stop || !pair.raising || pair.handler_time != 0) return;
  if (pair.raise_time != 0) {
    // On its way still; or a second ticked between reading the time and writing it.
    const bool raised = pair.device.raised();
    DataBarrier();
    if (raised || pair.handler_time != 0) return;
  }
  const std::uint32_t present = pair.device.now();
  pair.raise_time = Counter();
  pair.device.SetMatch(present);
}

void Second(void* /*context*/) {
  pair.gic->StartCpu();
  pair.gic->Enable(pair.timer);
  pair.gic->SendSoftwareInterrupt(kAnswer, pair.first_affinity, 0);  // here I am
  while (!pair.stop) {
    if (pair.raising) {
      RaiseAfterPeriod();
      continue;
    }
    SleepUntil([] { return pair.called.load() || pair.raising.load() || pair.stop.load(); });
    if (!pair.called.exchange(false)) continue;
    pair.gic->SendSoftwareInterrupt(kAnswer, pair.first_affinity, 0);
  }
  StopTimer();
}

void TurnOn(Guest& guest) {
  const Board& board = guest.board();
  if (board.cpus.size() < 2) Fail("mode pair needs two CPUs");
  if (board.virtual_timer.intid == 0) Fail("no virtual timer in the device tree");
  pair.gic = &guest.gic();
  pair.device = guest.device();
  pair.timer = board.virtual_timer;
  pair.first_affinity = board.cpus[0];
  pair.period_us = guest.Number("period_us", 200);
  guest.StartInterrupts();
  MaskInterrupts();
  guest.gic().SetHandler(kCall, {&OnCall, nullptr});
  guest.gic().SetHandler(kAnswer, {&OnAnswer, nullptr});
  guest.gic().SetHandler(board.virtual_timer.intid, {&OnTick, nullptr});
  const std::int64_t result = secondary.TurnOn(guest.psci(), board.cpus[1],
                                               guest.address_space().registers(), &Second, nullptr);
  if (result != kPsciSuccess) Fail("CPU_ON returned ", result);
  SleepUntil([] { return pair.answered.load(); });
}

void Call(Guest& guest, bool record) {
  pair.answered = false;
  const std::uint64_t start = Counter();
  guest.gic().SendSoftwareInterrupt(kCall, guest.board().cpus[1], 1);
  SleepUntil([] { return pair.answered.load(); });
  const std::uint64_t end = Counter();
  if (!record) return;
  call_to_handler.Add(pair.call_time - start);
  call_to_answer.Add(end - start);
}

void AwaitRaise(bool record) {
  SleepUntil([] { return pair.handler_time.load() != 0; });
  if (record) raise_to_handler_asleep.Add(pair.handler_time - pair.raise_time);
  pair.raise_time = 0;
  pair.handler_time = 0;
}

}  // namespace

void RunPair(Guest& guest) {
  const std::uint64_t count = guest.Number("count", 2000);
  const std::uint64_t warmup = guest.Number("warmup", 64);
  if (count > Samples::kMaximum) Fail("count is at most ", Samples::kMaximum);
  TurnOn(guest);
  const bool interrupts_only = guest.Number("interrupts_only", 0) != 0;
  if (!interrupts_only) {
    for (std::uint64_t i = 0; i < count + warmup; ++i) Call(guest, i >= warmup);
    call_to_handler.Report(guest, "ipi_to_handler");
    call_to_answer.Report(guest, "ipi_and_back");
  }
  pair.device.Quiesce();
  guest.ConnectDevice({&OnRaise, nullptr});
  pair.raising = true;
  guest.gic().SendSoftwareInterrupt(kCall, guest.board().cpus[1], 1);
  for (std::uint64_t i = 0; i < count + warmup; ++i) AwaitRaise(i >= warmup);
  pair.stop = true;
  guest.gic().SendSoftwareInterrupt(kCall, guest.board().cpus[1], 1);
  guest.DisconnectDevice();
  UnmaskInterrupts();
  raise_to_handler_asleep.Report(guest, "raise_to_handler_asleep");
}

}  // namespace guest
