// SPDX-License-Identifier: Apache-2.0
// GPIO controllers in a guest: their places, and what --print-plan says of them.
#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"

namespace microvm {
namespace {

using fakes::Contains;
using fakes::PlanInput;

PlanInput WithControllers() {
  PlanInput input;
  input.config.rng.enabled = true;
  input.config.gpios = {{.model = GpioModel::kPl061, .consumer = "me", .lines = {{"soc", "1"}}},
                        {.model = GpioModel::kVirtio,
                         .consumer = "me",
                         .lines = {{"gpiochip0", "LED"},
                                   {.chip = "soc",
                                    .line = "2",
                                    .direction = GpioDirection::kIn,
                                    .edges = GpioEdges::kRising,
                                    .bias = GpioBias::kPullUp,
                                    .name = "button"}}}};
  return input;
}

TEST_CASE("a virtio GPIO controller comes behind the other virtio devices, then the PL061s") {
  const VmPlan plan = WithControllers().Make();
  REQUIRE(plan.virtio.size() == 2);
  CHECK(plan.virtio[1].name == "gpio1");
  CHECK(plan.virtio[1].index == 1);
  CHECK(plan.virtio[1].registers == AddressRange({0x1401'0000}, 0x1000));
  CHECK(plan.virtio[1].spi == Spi{2});
  REQUIRE(plan.pl061s.size() == 1);
  CHECK(plan.pl061s[0].name == "gpio0");
  CHECK(plan.pl061s[0].index == 0);
  CHECK(plan.pl061s[0].registers == AddressRange({0x1402'0000}, 0x1000));
  CHECK(plan.pl061s[0].spi == Spi{3});
  CHECK(plan.pl061s[0].phandle != plan.virtio[1].phandle);
}

TEST_CASE("--print-plan shows GPIO lines as TOML that can be read again") {
  const std::string text = FormatPlan(WithControllers().Make());
  CHECK(
      Contains(text,
               "\n[[gpio]]\nmodel = \"virtio\"\nconsumer = \"me\"\nlines = [\n"
               "  { line = \"gpiochip0:LED\", direction = \"any\", edges = \"both\" },\n"
               "  { line = \"soc:2\", direction = \"in\", edges = \"rising\", bias = \"pull-up\", "
               "name = \"button\" },\n]\n# virtio 0x14010000-0x14010fff SPI 2 edge\n"));
  CHECK(Contains(text, "\n]\n# PL061 0x14020000-0x14020fff SPI 3\n"));
  const VmConfig again = ParseVmConfig(text, "plan.toml");
  REQUIRE(again.gpios.size() == 2);
  CHECK(again.gpios[0].lines.at(1).bias == GpioBias::kPullUp);
  CHECK(again.gpios[1].model == GpioModel::kPl061);
}

}  // namespace
}  // namespace microvm
