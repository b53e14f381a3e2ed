// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/guest_tree.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdlib>

#include "tests/fakes/dtc.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/device_tree.h"

namespace microvm {
namespace {

using fakes::PlanInput;

// Compares a guest's tree with tests/data/NAME as dtc shows it; a warning of dtc is a failure.
void CheckGolden(const PlanInput& input, const std::string& name) {
  const fakes::Decompiled tree = fakes::RunDtc(BuildGuestTree(input.Make(), {}));
  CHECK(tree.warnings == "");
  CHECK(tree.source == fakes::DataFile(name));
}

TEST_CASE("golden tree: one vCPU, a console, no devices") {
  CheckGolden(PlanInput(), "guest-plain.dts");
}

TEST_CASE("golden tree: a CAN controller and a timer, two vCPUs, an initrd, a PMU") {
  PlanInput input;
  input.config.cpu.count = 2;
  input.config.cpu.pmu = true;
  input.boot.initrd_bytes = 0x12345;
  input.devices = {fakes::CanFacts(), fakes::TimerFacts()};
  CheckGolden(input, "guest-devices.dts");
}

TEST_CASE("golden tree: no console, a region above RAM, a device without regions") {
  PlanInput input;
  input.config.console.enabled = false;
  DeviceFacts timer = fakes::TimerFacts();
  timer.regions = {{std::uint64_t{1} << 32, true}};
  DeviceFacts bare = fakes::FactsOf(fakes::SharedTree("board"), "/axi/regulator-switch");
  bare.interrupts = {{false}};
  input.devices = {timer, bare};
  CheckGolden(input, "guest-high.dts");
}

TEST_CASE("golden tree: seventeen vCPUs cross into a second cluster") {
  PlanInput input;
  input.limits.max_vcpus = 512;
  input.config.cpu.count = 17;
  CheckGolden(input, "guest-clusters.dts");
}

TEST_CASE("a boot's seed is split between the kernel's address and its random numbers") {
  std::array<std::byte, 40> seed{};
  for (std::size_t at = 0; at < seed.size(); ++at) seed[at] = static_cast<std::byte>(at);
  const DeviceTree tree(BuildGuestTree(PlanInput().Make(), seed));
  const auto chosen = tree.Find("/chosen");
  const auto kaslr = chosen->Property("kaslr-seed")->value;
  const auto rng = chosen->Property("rng-seed")->value;
  CHECK(kaslr.size() == 8);
  CHECK(kaslr[7] == std::byte{7});
  CHECK(rng.size() == 32);
  CHECK(rng[0] == std::byte{8});
}

TEST_CASE("a tree without a seed is the same at every call") {
  const VmPlan plan = PlanInput().Make();
  CHECK(BuildGuestTree(plan, {}) == BuildGuestTree(plan, {}));
  CHECK_FALSE(DeviceTree(BuildGuestTree(plan, {})).Find("/chosen")->Property("rng-seed"));
}

TEST_CASE("a tree larger than Linux takes is an error") {
  VmPlan plan = PlanInput().Make();
  PlannedDevice device{};
  device.node.name = "large";
  device.node.properties.push_back({"data", std::vector<std::byte>(0x20'0000), "host"});
  plan.devices.push_back(device);
  const std::string chain = fakes::ChainOf([&] { BuildGuestTree(plan, {}); });
  CHECK(fakes::Contains(chain, "the guest's device tree has "));
  CHECK(fakes::Contains(chain, "Linux takes 2097152 at most"));
}

}  // namespace
}  // namespace microvm
