// SPDX-License-Identifier: Apache-2.0
// Nodes of devices that Linux's own trees do not show in this form (data/vendor.dts).
#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"
#include "vmm/passthrough/host_clocks.h"

namespace microvm {
namespace {

using fakes::CellsOf;
using fakes::FindProperty;
using fakes::PlanInput;
using CellList = std::vector<std::uint32_t>;
using StringList = std::vector<std::string>;

DeviceFacts Facts(const std::string& node, const std::vector<std::uint64_t>& region_bytes,
                  std::size_t interrupts) {
  DeviceFacts facts = fakes::FactsOf(fakes::SharedTree("vendor"), node);
  for (const std::uint64_t size_bytes : region_bytes) {
    facts.regions.push_back({size_bytes, size_bytes % 4096 == 0});
  }
  facts.interrupts.assign(interrupts, {true});
  facts.clocks = ReadClocks(*facts.tree, *facts.tree->Find(node), "/nonexistent");
  for (std::size_t index = 0; index < facts.clocks.size(); ++index) {
    if (!facts.clocks[index].rate_hz) {
      facts.config.clocks_hz[facts.clocks[index].name] = 1'000'000 + index;
    }
  }
  return facts;
}

StringList WordsOf(const PlannedNode& node, std::string_view name) {
  const PlannedProperty* property = FindProperty(node, name);
  if (property == nullptr) return {};
  return DtProperty{name, property->value}.Strings();
}

DeviceFacts Mgbe() { return Facts("/ethernet@6810000", {0x10000, 0x10000, 0x10000, 0x10000}, 8); }

TEST_CASE("NVIDIA's MGBE: 13 clocks, three resets, four regions and eight interrupts, in order") {
  PlanInput input;
  input.devices = {Mgbe()};
  const VmPlan plan = input.Make();
  const PlannedDevice& device = plan.devices.front();
  const PlannedNode& node = device.node;
  REQUIRE(device.clocks.size() == 13);
  CHECK(device.clocks[0].rate_hz == 1'000'000);
  CHECK(device.clocks[12].rate_hz == 1'000'012);
  CHECK(CellsOf(node, "clocks").size() == 13);
  CHECK(WordsOf(node, "clock-names") ==
        StringList{"rx-input-m", "rx-pcs-m", "rx-pcs-input", "rx-pcs", "tx", "tx-pcs",
                   "mac-divider", "mac", "eee-pcs", "mgbe", "ptp-ref", "mgbe_macsec", "rx-input"});
  REQUIRE(device.resets);
  CHECK(device.resets->count == 3);
  const std::uint32_t controller = device.resets->controller_phandle;
  CHECK(CellsOf(node, "resets") == CellList{controller, 0, 0, controller, 8, 0, controller, 16, 0});
  CHECK(WordsOf(node, "reset-names") == StringList{"mac", "pcs", "macsec_ns_rst"});
  CHECK(WordsOf(node, "reg-names") == StringList{"mac", "xpcs", "macsec-base", "hypervisor"});
  CHECK(CellsOf(node, "reg").size() == 16);
  CHECK(CellsOf(node, "interrupts").size() == 24);
  CHECK(WordsOf(node, "interrupt-names").size() == 8);
  CHECK(CellsOf(node, "nvidia,mtl-queues") == CellList{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(FindProperty(node, "dma-coherent") != nullptr);
  CHECK(FindProperty(node, "iommus") == nullptr);
  CHECK(FindProperty(node, "power-domains") == nullptr);
}

TEST_CASE("NVIDIA's MGBE without its hypervisor's region and its MACsec: lists stay aligned") {
  DeviceFacts facts = Mgbe();
  facts.config.drop = {"reg:hypervisor", "interrupts:macsec-s-irq", "clocks:mgbe_macsec",
                       "resets:macsec_ns_rst"};
  facts.config.clocks_hz.erase("mgbe_macsec");
  PlanInput input;
  input.devices = {facts};
  const VmPlan plan = input.Make();
  const PlannedNode& node = plan.devices.front().node;
  CHECK(WordsOf(node, "reg-names") == StringList{"mac", "xpcs", "macsec-base"});
  CHECK(CellsOf(node, "reg").size() == 12);
  CHECK(CellsOf(node, "interrupts").size() == 21);
  CHECK(WordsOf(node, "interrupt-names").back() == "macsec-ns-irq");
  CHECK(CellsOf(node, "clocks").size() == 12);
  CHECK(WordsOf(node, "clock-names")[11] == "rx-input");
  CHECK(WordsOf(node, "reset-names") == StringList{"mac", "pcs"});
}

TEST_CASE("NVIDIA's CAN controller: four clocks by name, its reset a stub") {
  PlanInput input;
  input.devices = {Facts("/mttcan@c310000", {0x144, 0x32, 0x1000}, 1)};
  const VmPlan plan = input.Make();
  const PlannedDevice& device = plan.devices.front();
  CHECK(WordsOf(device.node, "clock-names") == StringList{"can_core", "can_host", "can", "pllaon"});
  CHECK(device.clocks.size() == 4);
  REQUIRE(device.resets);
  CHECK(device.resets->count == 1);
  CHECK(WordsOf(device.node, "reset-names") == StringList{"can"});
  CHECK(WordsOf(device.node, "reg-names") == StringList{"can-regs", "glue-regs", "msg-ram"});
  CHECK(CellsOf(device.node, "mram-params") == CellList{0, 16, 16, 32, 0, 0, 16, 16, 16});
  CHECK(CellsOf(device.node, "tx-config") == CellList{0, 16, 0, 64});
}

TEST_CASE("AMD's older MAC has its PHY in a device of its own, which goes along") {
  const DeviceFacts mac = Facts("/xgmac@e0700000", {0x80000, 0x80000}, 2);
  PlanInput input;
  input.devices = {mac};
  CHECK(fakes::Contains(fakes::ChainOf([&] { static_cast<void>(input.Make()); }),
                        "pass /phy@e1240800 through too"));
  input.devices = {mac, Facts("/phy@e1240800", {0x400, 0x60, 4}, 1)};
  const VmPlan plan = input.Make();
  const PlannedNode& node = plan.devices[0].node;
  CHECK(CellsOf(node, "phy-handle") == CellList{plan.devices[1].phandle});
  CHECK(WordsOf(node, "clock-names") == StringList{"dma_clk", "ptp_clk"});
  CHECK(plan.devices[0].clocks[0].rate_hz == 250'000'000);
  CHECK(WordsOf(plan.devices[1].node, "compatible").front() == "amd,xgbe-phy-seattle-v1a");
  CHECK(plan.devices[1].regions.size() == 3);
}

}  // namespace
}  // namespace microvm
