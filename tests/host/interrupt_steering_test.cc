// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/interrupt_steering.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/host/file.h"

namespace microvm {
namespace {

TEST_CASE("a device's interrupts go to one CPU for a while, and then where they went before") {
  const fakes::HostTree host;
  host.SetInterrupts(
      " 35:  12  30  GICv3  53 Level  vfio-irq[35](ff070000.canfd)\n"
      " 36:   1   0  GICv3  54 Edge   vfio-irq[36](ff070000.canfd)\n"
      " 37:   1   0  GICv3  55 Level  xilinx_can(ff060000.canfd)\n");
  for (const char* number : {"35", "36", "37"}) {
    host.Write(std::string("proc/irq/") + number + "/smp_affinity_list", "0-3\n");
  }
  const auto cpus = [&](const char* number) {
    return ReadAttribute(host.root() / "proc/irq" / number / "smp_affinity_list");
  };
  const HostSysfs sysfs(host.root());
  {
    InterruptSteering steering(sysfs);
    steering.Steer("ff070000.canfd", 2);
    // A file keeps what it had behind what is written; the kernel's does not.
    CHECK(cpus("35").starts_with("2"));
    CHECK(cpus("36").starts_with("2"));
    CHECK(cpus("37") == "0-3");
  }
  CHECK(cpus("35") == "0-3");
  CHECK(cpus("36") == "0-3");
}

TEST_CASE("an interrupt that cannot be steered is told of, and the others are steered") {
  const fakes::HostTree host;
  host.SetInterrupts(
      " 35:  12  30  pl061  3 Level  vfio-irq[35](keys)\n"
      " 36:   1   0  GICv3  54 Edge  vfio-irq[36](keys)\n");
  host.Write("proc/irq/36/smp_affinity_list", "0-1\n");
  const HostSysfs sysfs(host.root());
  std::string told;
  {
    const fakes::CapturedStream errors(2);
    InterruptSteering steering(sysfs);
    steering.Steer("keys", 1);
    told = errors.text();
    CHECK(ReadAttribute(host.root() / "proc/irq/36/smp_affinity_list").starts_with("1"));
  }
  CHECK(fakes::Contains(told, "microvm: keys: interrupt 35 of the host stays"));
}

}  // namespace
}  // namespace microvm
