// SPDX-License-Identifier: Apache-2.0
#include "../device_line.h"
#include "modes.h"

namespace guest {

void RunInterrupts(Guest& guest) {
  const std::uint64_t count = guest.Number("count", 2000);
  DeviceLine line(guest, DeviceLine::Before::kQuiet);
  while (line.raised() < count) line.RaiseAndWait();
  line.CheckExact();
  guest.console().Line("interrupts=", line.handled(), " raised=", line.raised(),
                       " spurious=", line.spurious());
}

}  // namespace guest
