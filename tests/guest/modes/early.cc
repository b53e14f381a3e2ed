// SPDX-License-Identifier: Apache-2.0
// The device asserts its line while the guest is not yet listening.
#include "../cpu.h"
#include "../device_line.h"
#include "modes.h"

namespace guest {

void RunEarly(Guest& guest) {
  const std::uint64_t count = guest.Number("count", 100);
  const bool gic_started = guest.interrupts_started();
  const Pl031 device = guest.device();
  device.Quiesce();
  device.EnableLine();
  device.RaiseAndHold();
  WaitMicroseconds(guest.Number("wait_us", 10'000));
  DeviceLine line(guest, DeviceLine::Before::kAsserted);
  line.CheckExact();
  for (std::uint64_t i = 0; i < count; ++i) line.RaiseAndWait();
  line.CheckExact();
  guest.console().Line("early=1 interrupts=", line.handled(), " raised=", line.raised(),
                       " spurious=", line.spurious(), " gic_started=", gic_started ? 1 : 0);
}

}  // namespace guest
