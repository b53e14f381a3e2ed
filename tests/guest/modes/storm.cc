// SPDX-License-Identifier: Apache-2.0
// A level that stays asserted interrupts again after every end of interrupt.
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "modes.h"

namespace guest {
namespace {

struct Storm {
  Pl031 device;
  std::uint64_t until;
  std::atomic<std::uint64_t> entries = 0;
};

void Weather(void* context, const ExceptionFrame& /*frame*/) {
  Storm& storm = *static_cast<Storm*>(context);
  if (storm.entries.fetch_add(1) + 1 >= storm.until) storm.device.Clear();
}

}  // namespace

void RunStorm(Guest& guest) {
  Storm storm{.device = guest.device(), .until = guest.Number("count", 1000)};
  const std::uint64_t spurious_before = guest.gic().spurious();
  storm.device.Quiesce();
  storm.device.RaiseAndHold();
  // Before the storm: this CPU may never leave the handler again, as the next interrupt can be
  // there before its first instruction.
  guest.console().Line("ready");
  guest.ConnectDevice({&Weather, &storm});
  const std::uint64_t deadline = DeadlineAfter(guest.Number("timeout_ms", 10'000) * 1000);
  while (storm.entries < storm.until) {
    if (Counter() > deadline) Fail("storm entries=", storm.entries.load());
  }
  WaitMicroseconds(2000);
  guest.DisconnectDevice();
  const std::uint64_t spurious = guest.gic().spurious() - spurious_before;
  if (storm.entries != storm.until || spurious != 0) {
    Fail("storm entries=", storm.entries.load(), " expected=", storm.until, " spurious=", spurious);
  }
  guest.console().Line("storm entries=", storm.entries.load(), " spurious=", spurious);
}

}  // namespace guest
