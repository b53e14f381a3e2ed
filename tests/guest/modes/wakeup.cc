// SPDX-License-Identifier: Apache-2.0
// How late the virtual timer's interrupt is, to a CPU that is busy and to one that sleeps.
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "../samples.h"
#include "../virtual_timer.h"
#include "modes.h"

namespace guest {
namespace {

constinit Samples lateness;

struct Alarm {
  std::atomic<std::uint64_t> handler_time = 0;
};

void Ring(void* context, const ExceptionFrame& /*frame*/) {
  const std::uint64_t now = Counter();
  StopTimer();
  static_cast<Alarm*>(context)->handler_time.store(now, std::memory_order_relaxed);
}

// One deadline; how long after it the handler ran.
std::uint64_t Await(Alarm& alarm, std::uint64_t period_us, bool sleep) {
  alarm.handler_time.store(0, std::memory_order_relaxed);
  if (sleep) MaskInterrupts();
  const std::uint64_t deadline = DeadlineAfter(period_us);
  SetTimer(deadline);
  while (alarm.handler_time.load(std::memory_order_relaxed) == 0) {
    if (!sleep) continue;
    WaitForInterrupt();
    UnmaskInterrupts();
    MaskInterrupts();
  }
  UnmaskInterrupts();
  return alarm.handler_time.load(std::memory_order_relaxed) - deadline;
}

}  // namespace

void RunWakeup(Guest& guest) {
  const std::uint64_t count = guest.Number("count", 2000);
  const std::uint64_t warmup = guest.Number("warmup", 64);
  const std::uint64_t period_us = guest.Number("period_us", 200);
  const Interrupt interrupt = guest.board().virtual_timer;
  if (interrupt.intid == 0) Fail("no virtual timer in the device tree");
  if (count > Samples::kMaximum) Fail("count is at most ", Samples::kMaximum);
  Alarm alarm;
  guest.StartInterrupts();
  guest.gic().SetHandler(interrupt.intid, {&Ring, &alarm});
  guest.gic().Enable(interrupt);
  for (const bool sleep : {false, true}) {
    lateness.Clear();
    for (std::uint64_t i = 0; i < count + warmup; ++i) {
      const std::uint64_t late = Await(alarm, period_us, sleep);
      if (i >= warmup) lateness.Add(late);
    }
    lateness.Report(guest, sleep ? "timer_asleep" : "timer_spinning");
  }
  guest.gic().Disable(interrupt);
}

}  // namespace guest
