// SPDX-License-Identifier: Apache-2.0
// What the guest sees of the device under test, to be compared with the host's tree.
#include "../exceptions.h"
#include "../failure.h"
#include "../mmio.h"
#include "../probes.h"
#include "modes.h"

namespace guest {
namespace {

std::uint64_t Load32(std::uint64_t address) {
  constexpr std::size_t kLoad32 = 2;
  return AllProbes()[kLoad32].run(address, 0) & 0xffff'ffff;
}

}  // namespace

void RunRegions(Guest& guest) {
  const DeviceFacts& device = guest.board().device;
  const Console& console = guest.console();
  if (device.regions.empty()) Fail("no device under test in the device tree");
  const ExceptionGuard guard;
  console.Line("device=", device.name, " regions=", device.regions.size(),
               " interrupts=", device.interrupts.size());
  unsigned index = 0;
  for (const PhysicalRange& region : device.regions) {
    const std::uint64_t first = Load32(region.start);
    const std::uint64_t last = Load32(region.end() - 4);
    console.Line("reg=", index++, " address=", Hex{region.start}, " size=", Hex{region.size},
                 " first=", Hex{first}, " last=", Hex{last});
  }
  index = 0;
  for (const Interrupt& interrupt : device.interrupts) {
    console.Line("interrupt=", index++, " intid=", interrupt.intid,
                 " trigger=", interrupt.trigger == Trigger::kLevel ? "level" : "edge");
  }
  console.Line("aborts=", guard.counts().total());
}

}  // namespace guest
