// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "tests/plan/plan_input.h"
#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

using fakes::Contains;

TEST_CASE("--print-plan shows every decision of a guest with devices") {
  fakes::PlanInput input;
  input.boot.initrd_bytes = 0x12345;
  input.config.boot.initrd = "/guest/initrd";
  input.config.cpu.count = 2;
  input.config.cpu.policy = SchedulingPolicy::kFifo;
  input.devices = {fakes::CanFacts(), fakes::TimerFacts()};
  input.devices[1].config.interrupts = InterruptPath::kUserspace;
  const std::string plan = FormatPlan(input.Make());
  CHECK(plan == fakes::Golden("plan.txt", plan));
}

TEST_CASE("--print-plan is TOML with the decisions in comments") {
  fakes::PlanInput input;
  input.config.boot.cmdline = "quote=\" backslash=\\";
  const VmConfig again = ParseVmConfig(FormatPlan(input.Make()), "plan.toml");
  CHECK(again.name == "sample");
  CHECK(again.memory.size_bytes == input.config.memory.size_bytes);
  CHECK(again.boot.cmdline == input.config.boot.cmdline);
  CHECK(again.boot.kernel == input.config.boot.kernel);
}

TEST_CASE("the plan shows how a device is brought to rest") {
  fakes::PlanInput input;
  input.devices = {fakes::TimerFacts()};
  using Action = ResetStep::Action;
  input.devices[0].config.reset = {
      .policy = ResetPolicy::kRequired,
      .recipe = {{.action = Action::kWrite, .offset = 0x10, .value = 1, .mask = 0xff},
                 {.action = Action::kPoll, .region = 1, .offset = 8, .mask = 1, .us = 50},
                 {.action = Action::kDelay, .us = 10}}};
  CHECK(Contains(FormatPlan(input.Make()),
                 "reset = \"required\"\n"
                 "# recipe: write 0x1 to region 0 offset 0x10, 4 bytes, mask 0xff\n"
                 "# recipe: poll for 0x0 at region 1 offset 0x8, 4 bytes, mask 0x1, 50 us\n"
                 "# recipe: delay, 10 us\n"));
}

TEST_CASE("the plan of a guest without console shows none") {
  fakes::PlanInput input;
  input.config.consoles.clear();
  CHECK_FALSE(Contains(FormatPlan(input.Make()), "PL011"));
}

TEST_CASE("values print as strings, cells or bytes, whichever they look like") {
  fakes::PlanInput input;
  input.devices = {fakes::CanFacts()};
  const std::string plan = FormatPlan(input.Make());
  CHECK(Contains(plan, "xlnx,label = \"vehicle bus\";"));
  CHECK(Contains(plan, "rx-fifo-depth = <0x40>;"));
  CHECK(Contains(plan, "mac-address = [00 0a 35 00 00 01];"));
  CHECK(Contains(plan, "clock-names = \"can_clk\", \"s_axi_aclk\";"));
}

}  // namespace
}  // namespace microvm
