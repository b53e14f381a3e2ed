// SPDX-License-Identifier: Apache-2.0
// The guest's nodes of devices of real boards, made from Linux's own device trees. Skipped unless
// asked for (tests/run upstream): the trees are compiled from the kernel's source.
#include <doctest/doctest.h>

#include <cstdlib>

#include "arch/arm64/guest_tree.h"
#include "tests/fakes/dtc.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "tests/plan/plan_input.h"
#include "vmm/host/file.h"
#include "vmm/passthrough/host_clocks.h"
#include "vmm/plan/device_node.h"
#include "vmm/plan/host_interrupts.h"

namespace microvm {
namespace {

using Rates = std::map<std::string, std::uint64_t>;

std::shared_ptr<const DeviceTree> BoardTree(const std::string& board) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  const char* folder = std::getenv("MICROVM_UPSTREAM_TREES");
  REQUIRE_MESSAGE(folder != nullptr, "MICROVM_UPSTREAM_TREES is not set");
  return std::make_shared<const DeviceTree>(ReadFile(std::string(folder) + "/" + board + ".dtb"));
}

// The sizes in a node's `reg`, by the cells of the node above.
std::vector<RegionFacts> Regions(const DtNode& node) {
  const std::size_t address_cells = node.parent()->Cell("#address-cells").value_or(2);
  const std::size_t size_cells = node.parent()->Cell("#size-cells").value_or(1);
  const std::vector<std::uint32_t> cells = node.Property("reg")->Cells().value();
  std::vector<RegionFacts> regions;
  for (std::size_t at = address_cells; at < cells.size(); at += address_cells + size_cells) {
    const std::uint64_t size_bytes = cells[at + size_cells - 1];
    regions.push_back({size_bytes, size_bytes % 4096 == 0});
  }
  return regions;
}

// Facts of a node as VFIO would show the device.
DeviceFacts BoardFacts(const std::shared_ptr<const DeviceTree>& tree, const std::string& path,
                       const std::string& host) {
  DeviceFacts facts = fakes::FactsOf(tree, path);
  const auto node = tree->Find(path);
  REQUIRE_MESSAGE(node.has_value(), path);
  facts.config.host = host;
  facts.config.dma = DmaMode::kIommu;
  facts.regions = Regions(*node);
  for (const InterruptLine& interrupt : HostInterrupts(*tree, *node)) {
    facts.interrupts.push_back({interrupt.trigger == Trigger::kLevel});
  }
  facts.clocks = ReadClocks(*tree, *node, "/nonexistent");
  facts.clocks_below = ReadClocksBelow(*tree, *node, "/nonexistent");
  return facts;
}

// What --print-plan says of the devices, compared with a file of tests/data/upstream; dtc must find
// nothing to say of the tree.
void CheckGolden(const std::vector<DeviceFacts>& devices, const std::string& name) {
  fakes::PlanInput input;
  input.devices = devices;
  const VmPlan plan = input.Make();
  CHECK(fakes::RunDtc(BuildGuestTree(plan, {})).warnings == "");
  const std::string text = FormatPlan(plan);
  const std::string shown = text.substr(text.find("[[platform]]"));
  CHECK(shown == fakes::Golden("upstream/" + name, shown));
}

TEST_CASE("Calxeda ECX-2000: hb-xgmac, PL330, a PrimeCell timer" * doctest::skip()) {
  const auto tree = BoardTree("ecx-2000");
  CheckGolden({BoardFacts(tree, "/soc/ethernet@fff50000", "fff50000.ethernet"),
               BoardFacts(tree, "/soc/dma@fff3d000", "fff3d000.dma"),
               BoardFacts(tree, "/soc/timer@fff34000", "fff34000.timer")},
              "ecx-2000.txt");
}

TEST_CASE("AMD Overdrive: xgbe, five regions in one node" * doctest::skip()) {
  const auto tree = BoardTree("amd-overdrive-rev-b1");
  CheckGolden({BoardFacts(tree, "/smb/xgmac@e0700000", "e0700000.xgmac")}, "amd-overdrive.txt");
}

TEST_CASE("Jetson AGX Orin: mgbe, whole" * doctest::skip()) {
  const auto tree = BoardTree("tegra234-p3737-0000+p3701-0000");
  DeviceFacts facts = BoardFacts(tree, "/bus@0/ethernet@6800000", "6800000.ethernet");
  for (const ClockFacts& clock : facts.clocks) facts.config.clocks_hz[clock.name] = 312'500'000;
  CheckGolden({facts}, "tegra234-mgbe.txt");
}

TEST_CASE("Jetson AGX Orin: mgbe without the hypervisor's registers" * doctest::skip()) {
  const auto tree = BoardTree("tegra234-p3737-0000+p3701-0000");
  DeviceFacts facts = BoardFacts(tree, "/bus@0/ethernet@6800000", "6800000.ethernet");
  for (const ClockFacts& clock : facts.clocks) facts.config.clocks_hz[clock.name] = 312'500'000;
  facts.config.drop = {"reg:hypervisor"};
  CheckGolden({facts}, "tegra234-mgbe-withheld.txt");
}

TEST_CASE("Stingray: FlexRM, once its messages are given up" * doctest::skip()) {
  const auto tree = BoardTree("bcm958742k");
  DeviceFacts facts = BoardFacts(tree, "/fs4/raid_mbox@400000", "67400000.raid_mbox");
  fakes::PlanInput input;
  input.devices = {facts};
  CHECK(fakes::Contains(fakes::ChainOf([&] { return input.Make(); }),
                        "/fs4/raid_mbox@400000: the property 'msi-parent' cannot cross"));
  facts.config.drop = {"msi-parent"};
  DeviceFacts sba = fakes::FactsOf(tree, "/fs4/raid@0");
  sba.config.host = "fs4:raid@0";
  CheckGolden({facts, sba}, "stingray-flexrm.txt");
}

TEST_CASE("R-Car H3 Salvator-XS: GPIO, SATA, SCIF" * doctest::skip()) {
  const auto tree = BoardTree("r8a77951-salvator-xs");
  std::vector<DeviceFacts> devices = {BoardFacts(tree, "/soc/gpio@e6055400", "e6055400.gpio"),
                                      BoardFacts(tree, "/soc/sata@ee300000", "ee300000.sata"),
                                      BoardFacts(tree, "/soc/serial@e6e68000", "e6e68000.serial")};
  devices[0].config.clocks_hz = devices[1].config.clocks_hz = {{"0", 66'660'000}};
  devices[2].config.clocks_hz = {{"fck", 66'660'000}, {"brg_int", 266'640'000}};
  CheckGolden(devices, "r-car-h3.txt");
}

TEST_CASE("ZynqMP ZCU102: Gigabit Ethernet with its PHY, a DMA engine" * doctest::skip()) {
  const auto tree = BoardTree("zynqmp-zcu102-rev1.0");
  std::vector<DeviceFacts> devices = {
      BoardFacts(tree, "/axi/ethernet@ff0e0000", "ff0e0000.ethernet"),
      BoardFacts(tree, "/axi/dma-controller@fd500000", "fd500000.dma-controller")};
  for (DeviceFacts& facts : devices) {
    for (const ClockFacts& clock : facts.clocks) facts.config.clocks_hz[clock.name] = 125'000'000;
  }
  devices[0].config.drop = {"mdio/ethernet-phy@c/reset-gpios"};
  CheckGolden(devices, "zynqmp-zcu102.txt");
}

}  // namespace
}  // namespace microvm
