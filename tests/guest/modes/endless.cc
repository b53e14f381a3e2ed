// SPDX-License-Identifier: Apache-2.0
// Guests that run until somebody stops them.
#include "../cpu.h"
#include "../device_line.h"
#include "modes.h"

namespace guest {

void RunIdle(Guest& guest) {
  guest.console().Line("ready");
  Halt();
}

void RunSpin(Guest& guest) {
  guest.console().Line("ready");
  while (true) asm volatile("");
}

void RunTraffic(Guest& guest) {
  const std::uint64_t every = guest.Number("every", 1000);
  DeviceLine line(guest, DeviceLine::Before::kQuiet);
  guest.console().Line("ready");
  while (true) {
    for (std::uint64_t i = 0; i < every; ++i) line.RaiseAndWait();
    guest.console().Line("traffic=", line.handled(), " spurious=", line.spurious());
  }
}

}  // namespace guest
