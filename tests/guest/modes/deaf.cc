// SPDX-License-Identifier: Apache-2.0
// The guest takes the device's level for an edge. Its interrupt controller then tells nobody when
// an interrupt has been handled, and whoever waits to hear of it masks the line for good.
#include "../cpu.h"
#include "../device_line.h"
#include "modes.h"

namespace guest {

void RunDeaf(Guest& guest) {
  const std::uint64_t count = guest.Number("count", 3);
  DeviceLine line(guest, DeviceLine::Before::kQuiet);
  Interrupt interrupt = guest.device_interrupt();
  interrupt.trigger = Trigger::kEdge;
  guest.gic().Enable(interrupt);
  std::uint64_t longest = 0;
  while (line.raised() < count) {
    const std::uint64_t before = Counter();
    line.RaiseAndWait();
    const std::uint64_t ticks = Counter() - before;
    if (ticks > longest) longest = ticks;
    guest.console().Line("deaf=", line.raised());
  }
  guest.console().Line("interrupts=", line.handled(), " raised=", line.raised(),
                       " longest_ms=", longest * 1000 / CounterFrequency());
}

}  // namespace guest
