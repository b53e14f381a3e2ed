// SPDX-License-Identifier: Apache-2.0
// Places of virtio devices in a guest.
#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"

namespace microvm {
namespace {

using fakes::Contains;
using fakes::PlanInput;

PlanInput WithDisks(std::size_t count) {
  PlanInput input;
  for (std::size_t index = 0; index < count; ++index) {
    input.config.disks.push_back({.path = "/disks/" + std::to_string(index)});
  }
  return input;
}

TEST_CASE("virtio devices have a page each, and the SPIs behind the console's") {
  PlanInput input = WithDisks(2);
  input.config.rng.enabled = true;
  const VmPlan plan = input.Make();
  REQUIRE(plan.virtio.size() == 3);
  CHECK(plan.virtio[0].name == "disk0");
  CHECK(plan.virtio[0].registers == AddressRange({0x1400'0000}, 0x1000));
  CHECK(plan.virtio[0].spi == Spi{1});
  CHECK(plan.virtio[1].name == "disk1");
  CHECK(plan.virtio[1].registers == AddressRange({0x1401'0000}, 0x1000));
  CHECK(plan.virtio[1].spi == Spi{2});
  CHECK(plan.virtio[2].name == "rng");
  CHECK(plan.virtio[2].registers == AddressRange({0x1402'0000}, 0x1000));
  CHECK(plan.virtio[2].spi == Spi{3});
}

TEST_CASE(
    "virtio consoles come behind other virtio devices, the RTC behind all; a PL011 is apart") {
  PlanInput input = WithDisks(1);
  input.config.consoles = {{.kind = ConsoleKind::kHvc, .path = "/log"},
                           {},
                           {.kind = ConsoleKind::kHvc, .input = false, .path = "/dev/ttyS1"}};
  input.config.rtc.enabled = true;
  const VmPlan plan = input.Make();
  REQUIRE(plan.virtio.size() == 3);
  CHECK(plan.virtio[1].name == "hvc0");
  CHECK(plan.virtio[1].index == 0);
  CHECK(plan.virtio[1].registers == AddressRange({0x1401'0000}, 0x1000));
  CHECK(plan.virtio[2].name == "hvc1");
  CHECK(plan.virtio[2].index == 2);
  CHECK(plan.virtio[2].spi == Spi{3});
  REQUIRE(plan.rtc.has_value());
  CHECK(plan.rtc->registers == AddressRange({0x1403'0000}, 0x1000));
  CHECK(plan.rtc->spi == Spi{4});
  const std::string text = FormatPlan(plan);
  CHECK(Contains(
      text, "\n[[console]]\nkind = \"pl011\"\ninput = true\n# PL011 0x9000000-0x9000fff SPI 0\n"));
  CHECK(Contains(text,
                 "\n[[console]]\nkind = \"hvc\"\ninput = false\npath = \"/dev/ttyS1\"\n"
                 "# virtio 0x14020000-0x14020fff SPI 3 edge\n"));
  CHECK(Contains(text, "\n[rtc]\n# PL031 0x14030000-0x14030fff SPI 4\n"));
  const VmConfig again = ParseVmConfig(text, "plan.toml");
  CHECK(again.consoles.size() == 3);
  CHECK(again.rtc.enabled);
}

TEST_CASE("passed-through devices are where they are without virtio devices") {
  PlanInput without;
  without.devices = {fakes::CanFacts(), fakes::TimerFacts()};
  PlanInput with = WithDisks(1);
  with.devices = without.devices;
  const VmPlan plan = with.Make();
  const VmPlan before = without.Make();
  for (std::size_t index = 0; index < plan.devices.size(); ++index) {
    CHECK(plan.devices[index].regions[0].guest == before.devices[index].regions[0].guest);
    CHECK(plan.devices[index].interrupts[0].spi == before.devices[index].interrupts[0].spi);
  }
  CHECK(plan.virtio[0].registers == AddressRange({0x1403'0000}, 0x1000));
  CHECK(plan.virtio[0].spi == Spi{4});
}

TEST_CASE("sockets are behind entropy, and in --print-plan with their CID") {
  PlanInput input;
  input.config.rng.enabled = true;
  input.config.vsock = VsockConfig{.cid = 5};
  const VmPlan plan = input.Make();
  REQUIRE(plan.virtio.size() == 2);
  CHECK(plan.virtio[1].name == "vsock");
  CHECK(plan.virtio[1].spi == Spi{2});
  const std::string text = FormatPlan(plan);
  CHECK(Contains(text, "\n[vsock]\ncid = 5\n# virtio 0x14010000-0x14010fff SPI 2 edge\n"));
  CHECK(ParseVmConfig(text, "plan.toml").vsock->cid == 5);
}

TEST_CASE("more virtio devices than SPIs are refused") {
  CHECK(Contains(fakes::ChainOf([] { return WithDisks(960).Make(); }), "a guest's GIC has 960"));
}

TEST_CASE("--print-plan shows disks and entropy as TOML, with their places") {
  PlanInput input = WithDisks(1);
  input.config.disks[0].serial = "S-1";
  input.config.disks[0].readonly = true;
  input.config.disks[0].queues = 2;
  input.config.rng.enabled = true;
  const std::string text = FormatPlan(input.Make());
  CHECK(Contains(text,
                 "\n[[disk]]\npath = \"/disks/0\"\nreadonly = true\nqueues = 2\ndirect = false\n"
                 "serial = \"S-1\"\n# virtio 0x14000000-0x14000fff SPI 1 edge\n"
                 "\n[rng]\n# virtio 0x14010000-0x14010fff SPI 2 edge\n"));
  const VmConfig again = ParseVmConfig(text, "plan.toml");
  CHECK(again.disks.at(0).serial == "S-1");
  CHECK(again.disks.at(0).queues == 2);
  CHECK(again.rng.enabled);
}

}  // namespace
}  // namespace microvm
