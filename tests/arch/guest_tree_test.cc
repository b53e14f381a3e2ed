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
#include "vmm/fdt/fdt_writer.h"

namespace microvm {
namespace {

using fakes::PlanInput;

// Compares a guest's tree with tests/data/NAME as dtc shows it; a warning of dtc is a failure.
void CheckGolden(const PlanInput& input, const std::string& name) {
  const fakes::Decompiled tree = fakes::RunDtc(BuildGuestTree(input.Make(), {}));
  CHECK(tree.warnings == "");
  CHECK(tree.source == fakes::Golden(name, tree.source));
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

TEST_CASE("golden tree: two disks, a source of entropy and a real-time clock") {
  PlanInput input;
  input.config.disks = {{.path = "/disks/root"}, {.path = "/disks/data"}};
  input.config.rng.enabled = true;
  input.config.rtc.enabled = true;
  CheckGolden(input, "guest-virtio.dts");
}

TEST_CASE("golden tree: GPIO controllers, which overlays can refer to") {
  PlanInput input;
  input.config.consoles.clear();
  input.config.gpios = {
      {.lines = {{"soc", "0"}}},
      {.model = GpioModel::kPl061, .lines = {{"soc", "1"}, {.chip = "soc", .name = "relay"}}}};
  input.boot.overlays = {{"gpio-keys.dtbo", fakes::TreeBlob("gpio-keys")}};
  CheckGolden(input, "guest-gpio.dts");
}

TEST_CASE("golden tree: no console, a region above RAM, a device without regions") {
  PlanInput input;
  input.config.consoles.clear();
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

// A device without regions: its node has no unit address.
DeviceFacts BareDevice(const std::string& name) {
  FdtWriter fdt;
  fdt.Node("", [&] { fdt.Node(name, [&] { fdt.String("compatible", "acme,bare"); }); });
  return fakes::FactsOf(std::make_shared<const DeviceTree>(fdt.Finish()), "/" + name);
}

TEST_CASE(
    "devices whose names are taken, by each other or by the guest's own nodes, are numbered") {
  PlanInput input;
  input.config.cpu.pmu = true;
  // What the tree has without them.
  std::vector<std::string> own;
  const DeviceTree plain(BuildGuestTree(input.Make(), {}));
  for (const DtNode& node : plain.root().children()) {
    own.emplace_back(node.name().substr(0, node.name().find('@')));
  }
  for (const std::string& name : own) input.devices.push_back(BareDevice(name));
  for (int count = 0; count < 3; ++count) input.devices.push_back(BareDevice("bare"));
  input.devices.push_back(BareDevice("bare-2"));
  // A CAN controller's first clock has the first phandle behind those of the devices.
  const std::size_t devices = input.devices.size() + 2;
  const std::uint32_t host_phandles = fakes::CanFacts().tree->LargestPhandle();
  const std::string clock =
      "clock-" + std::to_string(Number(host_phandles, Phandle::kFirstFree) + devices);
  input.devices.push_back(BareDevice(clock));
  input.devices.push_back(fakes::CanFacts());
  const fakes::Decompiled tree = fakes::RunDtc(BuildGuestTree(input.Make(), {}));
  CHECK(tree.warnings == "");
  for (const std::string& name : own) {
    CAPTURE(name);
    CHECK(fakes::Contains(tree.source, "\t" + name + "-2 {"));
  }
  for (const std::string& name : {std::string("bare"), std::string("bare-2"), std::string("bare-3"),
                                  std::string("bare-2-2"), clock + "-2"}) {
    CAPTURE(name);
    CHECK(fakes::Contains(tree.source, "\t" + name + " {"));
  }
}

TEST_CASE("golden tree: a GICv2, whose private interrupts say which CPUs they are wired to") {
  PlanInput input;
  input.limits.gic = GicVersion::kV2;
  input.config.cpu.count = 3;
  input.config.cpu.pmu = true;
  input.devices = {fakes::CanFacts()};
  CheckGolden(input, "guest-gic-v2.dts");
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
