// SPDX-License-Identifier: Apache-2.0
// The virtual timer (Arm ARM, D12.2.4): every deadline interrupts once, and not too early.
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "../virtual_timer.h"
#include "modes.h"

namespace guest {
namespace {

struct Deadline {
  std::uint64_t ticks = 0;
  std::uint64_t latest = 0;
  std::atomic<std::uint64_t> handled = 0;
  std::atomic<std::uint64_t> too_early = 0;
};

void Expire(void* context, const ExceptionFrame& frame) {
  Deadline& deadline = *static_cast<Deadline*>(context);
  StopTimer();
  if (frame.vector_time < deadline.ticks) {
    deadline.too_early.fetch_add(1);
  } else if (frame.vector_time - deadline.ticks > deadline.latest) {
    deadline.latest = frame.vector_time - deadline.ticks;
  }
  deadline.handled.fetch_add(1);
}

}  // namespace

void RunTimer(Guest& guest) {
  const std::uint64_t count = guest.Number("count", 100);
  const Interrupt interrupt = guest.board().virtual_timer;
  if (interrupt.intid == 0) Fail("no virtual timer in the device tree");
  Deadline deadline;
  guest.StartInterrupts();
  guest.gic().SetHandler(interrupt.intid, {&Expire, &deadline});
  guest.gic().Enable(interrupt);
  for (std::uint64_t i = 0; i < count; ++i) {
    MaskInterrupts();
    deadline.ticks = DeadlineAfter(guest.Number("period_us", 100));
    SetTimer(deadline.ticks);
    while (deadline.handled == i) {
      WaitForInterrupt();
      UnmaskInterrupts();
      MaskInterrupts();
    }
    UnmaskInterrupts();
  }
  guest.gic().Disable(interrupt);
  if (deadline.handled != count || deadline.too_early != 0) {
    Fail("timer=", deadline.handled.load(), " too_early=", deadline.too_early.load());
  }
  guest.console().Line("timer=", count, " too_early=0 latest_ticks=", deadline.latest);
}

}  // namespace guest
