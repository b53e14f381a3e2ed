// SPDX-License-Identifier: Apache-2.0
// The fixed clocks of a device's node, and the rates they have.
#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/plan/device_node.h"

namespace microvm {
namespace {

using fakes::CellsOf;
using fakes::ChainOf;
using fakes::Contains;
using fakes::FindProperty;
using fakes::MadeAlone;

// A node with three clocks of one other node.
DeviceFacts ThreeClocks() {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("device", [&] { fdt.Cells("clocks", {9, 9, 9}); });
    fdt.Node("other", [&] {
      fdt.String("compatible", "acme,other");
      fdt.Cells("phandle", {9});
    });
  });
  return fakes::FactsOf(std::make_shared<const DeviceTree>(fdt.Finish()), "/device");
}

TEST_CASE("each clock becomes a fixed clock with a phandle of its own") {
  const PlannedDevice device = MadeAlone(fakes::CanFacts());
  REQUIRE(device.clocks.size() == 2);
  CHECK(device.clocks[0].phandle == 3);
  CHECK(device.clocks[0].rate_hz == 25'000'000);
  CHECK(device.clocks[1].phandle == 4);
  CHECK(device.clocks[1].rate_hz == 33'333'000);
  CHECK(CellsOf(device.node, "clocks") == std::vector<std::uint32_t>{3, 4});
}

TEST_CASE("phandles count on from device to device") {
  std::uint32_t phandle = 3;
  PlannedDevice first;
  MakeDeviceNode(fakes::CanFacts(), first, phandle);
  PlannedDevice second;
  MakeDeviceNode(fakes::CanFacts(), second, phandle);
  CHECK(phandle == 7);
  CHECK(second.clocks[0].phandle == 5);
  CHECK(second.clocks[0].name != first.clocks[0].name);
}

TEST_CASE("the configuration's rate wins over the host's, by name or by number") {
  DeviceFacts facts = fakes::CanFacts();
  facts.config.clocks_hz = {{"can_clk", 80'000'000}};
  CHECK(MadeAlone(facts).clocks[0].rate_hz == 80'000'000);
  facts.clocks[1].name.clear();
  facts.config.clocks_hz = {{"1", 5}};
  CHECK(MadeAlone(facts).clocks[1].rate_hz == 5);
}

TEST_CASE("several clocks whose rates are not known are one error, with one line for all") {
  DeviceFacts facts = ThreeClocks();
  facts.clocks = {{"bus", "/other", std::nullopt}, {"", "/other", 5}, {"", "/other", std::nullopt}};
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "/device: clocks: the rates of clocks 'bus' (/other), '2' (/other) are not known\n"
        "to fix it:\n  mount -t debugfs none /sys/kernel/debug, or add their rates in Hz to the "
        "[[platform]] table of '0.device':\n"
        "  clocks = { bus = 100000000, 2 = 100000000 }\n");
  facts.config.clocks_hz = {{"bus", 1}, {"2", 2}};
  CHECK(MadeAlone(facts).clocks.size() == 3);
}

TEST_CASE("a clock whose rate is not known is an error that says how to give it") {
  DeviceFacts facts = fakes::CanFacts();
  facts.clocks[1].rate_hz.reset();
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "/axi/canfd@ff070000: clocks: the rate of clock 's_axi_aclk' (/ref-clk) is not known\n"
        "to fix it:\n"
        "  mount -t debugfs none /sys/kernel/debug, or add its rate in Hz to the [[platform]] "
        "table of 'ff070000.canfd':\n"
        "  clocks = { s_axi_aclk = 100000000 }\n");
}

TEST_CASE("a rate beyond 32 bits is an error, the last one below is not") {
  DeviceFacts facts = fakes::CanFacts();
  facts.clocks[0].rate_hz = UINT32_MAX;
  CHECK(MadeAlone(facts).clocks[0].rate_hz == UINT32_MAX);
  facts.clocks[0].rate_hz = std::uint64_t{UINT32_MAX} + 1;
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "/axi/canfd@ff070000: clocks: 4294967296 Hz is more than a fixed-clock node can say\n");
}

TEST_CASE("dropped clocks need no rate and leave no node") {
  DeviceFacts facts = fakes::CanFacts();
  facts.clocks[0].rate_hz.reset();
  facts.config.drop = {"clocks"};
  const PlannedDevice device = MadeAlone(facts);
  CHECK(device.clocks.empty());
  CHECK(FindProperty(device.node, "clocks") == nullptr);
}

TEST_CASE("a rate for a clock that is not there is a slip, named") {
  DeviceFacts facts = fakes::CanFacts();
  facts.config.clocks_hz = {{"cna_clk", 5}};
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "platform.clocks: /axi/canfd@ff070000 has no clock 'cna_clk'\n"
        "to fix it:\n  did you mean 'can_clk'?\n");
  facts.config.clocks_hz = {{"osc", 5}};
  facts.config.places = {{"clocks", "vm.toml:9:10: platform.clocks"}};
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "vm.toml:9:10: platform.clocks: /axi/canfd@ff070000 has no clock 'osc'\n"
        "to fix it:\n  its clocks are: can_clk, s_axi_aclk\n");
  facts.clocks.clear();
  CHECK(Contains(ChainOf([&] { MadeAlone(facts); }), "to fix it:\n  it has no clocks\n"));
}

}  // namespace
}  // namespace microvm
