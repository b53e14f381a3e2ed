// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/unit_addresses.h"

#include <doctest/doctest.h>

#include "tests/fakes/dtc.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/plan/planned_values.h"

namespace microvm {
namespace {

using Names = std::vector<std::string>;

PlannedNode Node(const std::string& name, std::vector<PlannedNode> children = {}) {
  return {name, {}, std::move(children)};
}

PlannedNode At(const std::string& name, const std::vector<std::uint32_t>& reg,
               std::vector<PlannedNode> children = {}) {
  return {name, {{"reg", CellBytes(reg), "host"}}, std::move(children)};
}

PlannedNode Counting(PlannedNode node, std::uint32_t address_cells, std::uint32_t size_cells) {
  node.properties.push_back({"#address-cells", CellBytes({address_cells}), "host"});
  node.properties.push_back({"#size-cells", CellBytes({size_cells}), "host"});
  return node;
}

// "name{name name{...}}" of all below a node, with a '#' behind those that have cells.
std::string TextOf(const PlannedNode& node) {
  std::string text;
  for (const PlannedNode& child : node.children) {
    text += (text.empty() ? "" : " ") + child.name;
    for (const PlannedProperty& property : child.properties) {
      if (property.name == "#address-cells") text += "#";
    }
    const std::string below = TextOf(child);
    if (!below.empty()) text += "{" + below + "}";
  }
  return text;
}

void Write(FdtWriter& fdt, const PlannedNode& node) {
  fdt.Node(node.name, [&] {
    for (const PlannedProperty& property : node.properties)
      fdt.Bytes(property.name, property.value);
    for (const PlannedNode& child : node.children) Write(fdt, child);
  });
}

// What dtc has to say of the node right below the root.
std::string WarningsOf(const PlannedNode& node) {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Cells("#address-cells", {2});
    fdt.Cells("#size-cells", {2});
    Write(fdt, node);
  });
  return fakes::RunDtc(fdt.Finish()).warnings;
}

// The names below a device's node once they are corrected, which dtc then finds nothing wrong with.
std::string Corrected(PlannedNode node, Names& left_out, bool overlays = false) {
  CHECK(WarningsOf(node) != "");
  PlannedDevice device{};
  device.node = std::move(node);
  CorrectUnitAddresses(device, "/soc/device@1000", overlays);
  if (!overlays) CHECK(WarningsOf(device.node) == "");
  left_out = device.left_out;
  return TextOf(device.node);
}

TEST_CASE("a node without an address has none in its name, but stays another than its like") {
  Names left_out;
  CHECK(Corrected(Node("device", {Node("gpio@100"), Node("gpio@140"), Node("clock@10")}),
                  left_out) == "gpio-100 gpio-140 clock");
  CHECK(left_out == Names{"/soc/device@1000/gpio@100: name: it is gpio-100",
                          "/soc/device@1000/gpio@140: name: it is gpio-140",
                          "/soc/device@1000/clock@10: name: it is clock"});
}

TEST_CASE("a node with an address has it in its name") {
  Names left_out;
  CHECK(Corrected(Counting(Node("device", {At("fps0", {0}), At("fps1", {0x1f})}), 1, 0),
                  left_out) == "fps0@0 fps1@1f");
  CHECK(Corrected(Counting(Node("device", {At("wide", {0x1, 0x2000, 0x10})}), 2, 1), left_out) ==
        "wide@100002000");
}

TEST_CASE("a unit address that is not the first of reg becomes it") {
  Names left_out;
  CHECK(Corrected(Counting(Node("device", {At("eeprom@51", {0x50}), At("flash@01", {1}),
                                           At("target@42", {0x40000042}), At("nand@0,1", {0})}),
                           1, 0),
                  left_out) == "eeprom@50 flash@1 target@42 nand@0,1");
}

TEST_CASE("no two nodes have one name, whatever they were called") {
  Names left_out;
  CHECK(Corrected(Node("device", {Node("foo@1"), Node("foo@2"), Node("foo-1")}), left_out) ==
        "foo-1 foo-2 foo-1-2");
  CHECK(
      Corrected(Counting(Node("device", {At("a@0", {0}), At("b@0", {0}), At("b@0,2", {0})}), 1, 0),
                left_out) == "a@0 b@0,2 b@0,2,2");
}

TEST_CASE("two nodes at one address are told apart behind it") {
  Names left_out;
  CHECK(Corrected(Counting(Node("device", {At("low@d4", {0xd4, 1}), At("high@d4", {0xd4, 2}),
                                           At("other@d6", {0xd6, 1})}),
                           1, 1),
                  left_out) == "low@d4 high@d4,2 other@d6");
}

TEST_CASE("the only endpoint of a port has no number, nor the only port of a device") {
  Names left_out;
  const PlannedNode ports =
      Counting(Node("ports", {Counting(At("port@0", {0}, {At("endpoint@0", {0})}), 1, 0)}), 1, 0);
  CHECK(Corrected(Node("device", {ports}), left_out) == "ports{port{endpoint}}");
  CHECK(left_out.size() == 8);
  // A number that is not 0 means something.
  PlannedDevice device{};
  device.node = Node("device", {Counting(Node("ports", {At("port@1", {1})}), 1, 0)});
  CorrectUnitAddresses(device, "/device", false);
  CHECK(TextOf(device.node) == "ports#{port@1}");
  CHECK(device.left_out.empty());
}

TEST_CASE("cells that count nothing are left out, unless an overlay could write addresses") {
  Names left_out;
  PlannedNode interrupts = Counting(Node("pmic", {Node("regulators")}), 0, 0);
  interrupts.properties.push_back({"interrupt-controller", {}, "host"});
  interrupts.properties.push_back({"#interrupt-cells", CellBytes({1}), "host"});
  const PlannedNode node = Node("device", {Counting(Node("panel", {Node("backlight")}), 1, 0),
                                           Counting(Node("bus", {At("chip@1", {1})}), 1, 0),
                                           Counting(Node("spare"), 1, 0), interrupts});
  CHECK(Corrected(node, left_out) == "panel{backlight} bus#{chip@1} spare# pmic#{regulators}");
  CHECK(left_out == Names{"/soc/device@1000/panel: #address-cells: no address is counted by it",
                          "/soc/device@1000/panel: #size-cells: no size is counted by it",
                          "/soc/device@1000/pmic: #size-cells: no size is counted by it"});
  CHECK(Corrected(node, left_out, true) ==
        "panel#{backlight} bus#{chip@1} spare# pmic#{regulators}");
  CHECK(left_out.empty());
}

}  // namespace
}  // namespace microvm
