// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/device_node.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

using fakes::CellsOf;
using fakes::ChainOf;
using fakes::Contains;
using fakes::FindProperty;
using fakes::MadeAlone;

std::string PropertyNames(const PlannedNode& node) {
  std::string names;
  for (const PlannedProperty& property : node.properties) names += property.name + " ";
  return names;
}

// A node called "device" with what `body` writes, beside another with the phandle 9.
template <typename Body>
DeviceFacts FactsOfNode(Body&& body) {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("device", [&] { body(fdt); });
    fdt.Node("other", [&] {
      fdt.String("compatible", "acme,other");
      fdt.Cells("reg", {1, 1});
      fdt.Cells("phandle", {9});
    });
  });
  return fakes::FactsOf(std::make_shared<const DeviceTree>(fdt.Finish()), "/device");
}

TEST_CASE("what only the host acts on is left out, each with its reason") {
  const PlannedDevice device =
      MadeAlone(fakes::FactsOf(fakes::SharedTree("corners"), "/host-only"));
  CHECK(PropertyNames(device.node) == "kept ");
  std::vector<std::string> left_out = device.left_out;
  std::sort(left_out.begin(), left_out.end());
  CHECK(fakes::Lines(left_out) ==
        "/host-only: assigned-clock-parents: the host has set the rates\n"
        "/host-only: assigned-clock-rates: the host has set the rates\n"
        "/host-only: assigned-clocks: the host has set the rates\n"
        "/host-only: clock-ranges: the guest's clocks are fixed\n"
        "/host-only: interconnect-names: the host keeps the bandwidth\n"
        "/host-only: interconnects: the host keeps the bandwidth\n"
        "/host-only: iommu-map: the host's IOMMU is set up by VFIO\n"
        "/host-only: iommus: the host's IOMMU is set up by VFIO\n"
        "/host-only: msi-parent: platform devices interrupt the guest by SPI\n"
        "/host-only: operating-points-v2: the host scales clocks and voltage\n"
        "/host-only: pinctrl-0: the host has set the pins\n"
        "/host-only: pinctrl-1: the host has set the pins\n"
        "/host-only: pinctrl-names: the host has set the pins\n"
        "/host-only: power-domain-names: VFIO keeps the device powered\n"
        "/host-only: power-domains: VFIO keeps the device powered\n");
}

TEST_CASE("identity and status of the host's node do not cross, and that is not worth a word") {
  DeviceFacts facts = FactsOfNode([](FdtWriter& fdt) {
    fdt.Cells("phandle", {7});
    fdt.Cells("linux,phandle", {7});
    fdt.String("name", "device");
    fdt.String("status", "disabled");
    fdt.Cells("interrupt-parent", {7});
    fdt.Cells("interrupts", {0, 1, 4});
    fdt.Cells("interrupts-extended", {7, 0, 1, 4});
    fdt.Cells("reg", {0, 1});
    fdt.Cells("clocks", {7});
    fdt.String("acme,kept", "yes");
  });
  const PlannedDevice device = MadeAlone(facts);
  CHECK(PropertyNames(device.node) == "acme,kept ");
  CHECK(device.left_out.empty());
}

TEST_CASE("what a pin controller says of its own registers is data") {
  const PlannedDevice device = MadeAlone(FactsOfNode([](FdtWriter& fdt) {
    fdt.Cells("pinctrl-single,register-width", {32});
    fdt.Cells("pinctrl-0", {9});
    fdt.Cells("pinctrl-10", {9});
    fdt.Cells("pinctrl-single,gpio-range", {5, 0, 3, 0});
    fdt.Node("range", [&] {
      fdt.Cells("#pinctrl-single,gpio-range-cells", {3});
      fdt.Cells("phandle", {5});
    });
    fdt.Node("pins", [&] { fdt.Cells("pinctrl-single,pins", {9, 1}); });
  }));
  CHECK(PropertyNames(device.node) == "pinctrl-single,register-width pinctrl-single,gpio-range ");
  CHECK(PropertyNames(device.node.children[1]) == "pinctrl-single,pins ");
  CHECK(CellsOf(device.node, "pinctrl-single,gpio-range").at(0) ==
        CellsOf(device.node.children[0], "phandle").at(0));
}

TEST_CASE("a property that refers to what the guest does not have is an error with the remedy") {
  CHECK(ChainOf(
            [] { MadeAlone(fakes::FactsOf(fakes::SharedTree("board"), "/axi/uart@ff000000")); }) ==
        "/axi/uart@ff000000: the property 'dmas' refers to something the guest does not have: "
        "DMA channel /dma-controller@f0000000\n"
        "to fix it:\n"
        "  if the guest's driver can do without it, add to the [[platform]] table of '0.device':\n"
        "  drop = [\"dmas\"]\n");
}

TEST_CASE("all that cannot cross is told at once, with one line that drops it") {
  DeviceFacts facts = FactsOfNode([](FdtWriter& fdt) {
    fdt.Cells("reset-gpios", {9});
    fdt.Cells("dmas", {77});
    fdt.Node("port", [&] {
      fdt.Cells("vdd-supply", {9});
      fdt.Cells("reset-gpios", {9});
    });
  });
  constexpr const char* kPassToo = "refers to something the guest does not have: ";
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        std::string("/device: the property 'reset-gpios' ") + kPassToo + "GPIO /other\n" +
            "/device: dmas: no node has phandle 0x4d\n" +
            "/device/port: the property 'vdd-supply' " + kPassToo + "regulator /other\n" +
            "/device/port: the property 'reset-gpios' " + kPassToo + "GPIO /other\n" +
            "to fix it:\n  pass /other through too\n"
            "  or, if the guest's driver can do without them, add to the [[platform]] table of "
            "'0.device':\n"
            "  drop = [\"reset-gpios\", \"dmas\", \"port/vdd-supply\", \"port/reset-gpios\"]\n");
  CHECK(FindObstacles(facts).size() == 4);
  facts.config.drop = DropsOf(FindObstacles(facts));
  CHECK(MadeAlone(facts).node.properties.empty());
}

TEST_CASE("a node with endless obstacles is given up") {
  const DeviceFacts facts = FactsOfNode([](FdtWriter& fdt) {
    for (std::size_t at = 0; at < 2 * kMostObstacles; ++at) {
      fdt.Cells("s" + std::to_string(at) + "-supply", {9});
    }
  });
  CHECK(FindObstacles(facts).size() == kMostObstacles);
}

TEST_CASE("every kind of reference is refused") {
  const auto tree = fakes::SharedTree("corners");
  constexpr std::array kReferences = {
      "dmas",      "phys",           "phy-handle",   "phy",        "pcs-handle",
      "mboxes",    "io-channels",    "nvmem-cells",  "hwlocks",    "memory-region",
      "sound-dai", "power-supplies", "mux-controls", "pwms",       "leds",
      "backlight", "reset-gpios",    "enable-gpio",  "vdd-supply", "access-controllers"};
  for (const std::string property : kReferences) {
    CAPTURE(property);
    const std::string chain = ChainOf([&] { MadeAlone(fakes::FactsOf(tree, "/ref-" + property)); });
    std::string expected = "/ref-";
    expected.append(property).append(": the property '").append(property);
    CHECK(Contains(chain, expected + "' refers to something"));
  }
}

TEST_CASE("an endpoint of a graph is refused") {
  const DeviceFacts facts = FactsOfNode([](FdtWriter& fdt) {
    fdt.Node("port", [&] { fdt.Node("endpoint", [&] { fdt.Cells("remote-endpoint", {9}); }); });
  });
  CHECK(Contains(ChainOf([&] { MadeAlone(facts); }),
                 "/device/port/endpoint: the property 'remote-endpoint' refers to"));
}

TEST_CASE("a reference that the configuration drops is left out") {
  DeviceFacts facts = fakes::FactsOf(fakes::SharedTree("corners"), "/ref-dmas");
  facts.config.drop = {"dmas"};
  const PlannedDevice device = MadeAlone(facts);
  CHECK(PropertyNames(device.node).empty());
  CHECK(device.left_out == std::vector<std::string>{"/ref-dmas: dmas: as 'drop' says"});
}

// A device on a bus that `bus` writes the properties of, with those of `own`.
DeviceFacts FactsOnBus(const std::vector<std::string>& bus, const std::vector<std::string>& own) {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Flag("dma-noncoherent");
    fdt.Node("bus", [&] {
      for (const std::string& property : bus) fdt.Flag(property);
      fdt.Node("device", [&] {
        for (const std::string& property : own) fdt.Flag(property);
      });
    });
  });
  return fakes::FactsOf(std::make_shared<const DeviceTree>(fdt.Finish()), "/bus/device");
}

TEST_CASE("whether DMA is coherent crosses from the nearest node above that says it") {
  const PlannedDevice device = MadeAlone(FactsOnBus({"dma-coherent"}, {}));
  CHECK(PropertyNames(device.node) == "dma-coherent ");
  REQUIRE(FindProperty(device.node, "dma-coherent") != nullptr);
  CHECK(FindProperty(device.node, "dma-coherent")->origin == "host, from /bus");
  CHECK(PropertyNames(MadeAlone(FactsOnBus({}, {})).node) == "dma-noncoherent ");
  CHECK(PropertyNames(MadeAlone(FactsOnBus({"dma-coherent"}, {"dma-noncoherent"})).node) ==
        "dma-noncoherent ");
  DeviceFacts facts = FactsOnBus({"dma-coherent"}, {});
  facts.config.properties = {{"dma-noncoherent", {}}};
  CHECK(PropertyNames(MadeAlone(facts).node) == "dma-noncoherent ");
  facts = FactsOnBus({"dma-coherent"}, {"dma-noncoherent"});
  facts.config.drop = {"dma-noncoherent"};
  CHECK(PropertyNames(MadeAlone(facts).node).empty());
}

TEST_CASE("a child may not need clocks, interrupts or pins of its own") {
  const auto tree = fakes::SharedTree("corners");
  for (const std::string property : {"clocks", "interrupts", "interrupts-extended"}) {
    CAPTURE(property);
    const std::string node = "/child-" + property;
    const std::string chain = ChainOf([&] { MadeAlone(fakes::FactsOf(tree, node)); });
    CHECK(Contains(chain, node + "/child: the property '"));
    CHECK(Contains(chain, property + "' refers to"));
  }
  CHECK(Contains(ChainOf([&] { MadeAlone(fakes::FactsOf(tree, "/child-gpio")); }),
                 "/child-gpio/child/deeper: the property 'key-gpios' refers to"));
}

TEST_CASE("children cross with their own reg and status") {
  const PlannedDevice device =
      MadeAlone(fakes::FactsOf(fakes::SharedTree("corners"), "/child-parent"));
  REQUIRE(device.node.children.size() == 1);
  const PlannedNode& child = device.node.children.front();
  CHECK(CellsOf(child, "reg") == std::vector<std::uint32_t>{3});
  CHECK(FindProperty(child, "status") != nullptr);
}

TEST_CASE("a child's interrupt parent, which the guest does not have, does not cross") {
  const PlannedDevice device =
      MadeAlone(fakes::FactsOf(fakes::SharedTree("corners"), "/child-parent"));
  CHECK(FindProperty(device.node.children.front(), "interrupt-parent") == nullptr);
}

TEST_CASE("reg and interrupts are what the plan decided") {
  PlannedDevice device{};
  device.regions = {{AddressRange({0x1'2000'0000}, 0x1000), true},
                    {AddressRange({0x1400'0000}, 0x2'0000), false}};
  device.interrupts = {{Spi{5}, Trigger::kLevel}, {Spi{6}, Trigger::kEdge}};
  device = MadeAlone(fakes::TimerFacts(), device);
  CHECK(CellsOf(device.node, "reg") ==
        std::vector<std::uint32_t>{1, 0x2000'0000, 0, 0x1000, 0, 0x1400'0000, 0, 0x2'0000});
  CHECK(CellsOf(device.node, "interrupts") == std::vector<std::uint32_t>{0, 5, 4, 0, 6, 1});
  CHECK(FindProperty(device.node, "reg")->origin == "plan");
  CHECK(FindProperty(device.node, "interrupt-names")->origin == "host");
}

TEST_CASE("a node is named after its first region's guest address, or has no address") {
  PlannedDevice device{};
  device.regions = {{AddressRange({0x1400'0000}, 0x1000), true}};
  CHECK(MadeAlone(fakes::TimerFacts(), device).node.name == "timer@14000000");
  CHECK(MadeAlone(fakes::TimerFacts()).node.name == "timer");
}

TEST_CASE("properties that name nodes or addresses of the host alone are refused") {
  for (const char* property : {"gpio", "gpios", "interrupt-map", "msi-map", "usb-phy", "extcon",
                               "syscon", "nvmem", "ranges", "dma-ranges"}) {
    CAPTURE(property);
    const DeviceFacts facts = FactsOfNode([&](FdtWriter& fdt) { fdt.Cells(property, {9, 9}); });
    CHECK(Contains(ChainOf([&] { MadeAlone(facts); }),
                   std::string("/device: the property '") + property + "' refers to"));
  }
}

TEST_CASE("memory of a device is no RAM of the guest's") {
  const PlannedDevice device = MadeAlone(FactsOfNode([](FdtWriter& fdt) {
    fdt.String("device_type", "memory");
    fdt.Node("child", [&] { fdt.String("device_type", "pci"); });
  }));
  CHECK(PropertyNames(device.node).empty());
  CHECK(device.left_out ==
        std::vector<std::string>{"/device: device_type: it is no RAM of the guest's"});
  CHECK(FindProperty(device.node.children.front(), "device_type") != nullptr);
}

TEST_CASE("the cells of children's addresses are what the host has them from, as Linux reads it") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("bus", [&] {
      fdt.Cells("#address-cells", {2});
      fdt.Node("device", [&] {
        fdt.Flag("interrupt-controller");
        fdt.Node("port", [&] { fdt.Cells("reg", {0, 1, 2}); });
      });
    });
  });
  const auto tree = std::make_shared<const DeviceTree>(fdt.Finish());
  const PlannedDevice device = MadeAlone(fakes::FactsOf(tree, "/bus/device"));
  CHECK(CellsOf(device.node, "#address-cells") == std::vector<std::uint32_t>{2});
  CHECK(CellsOf(device.node, "#size-cells") == std::vector<std::uint32_t>{1});
  CHECK(FindProperty(device.node.children.front(), "#address-cells") == nullptr);
}

TEST_CASE("what cannot be what it says does not cross") {
  const PlannedDevice device = MadeAlone(FactsOfNode([](FdtWriter& fdt) {
    fdt.Flag("interrupt-controller");
    fdt.Cells("label", {1});
    fdt.Node("port", [&] {
      fdt.String("name", "other");
      fdt.Flag("status");
    });
  }));
  CHECK(device.left_out ==
        std::vector<std::string>{
            "/device: interrupt-controller: without #interrupt-cells nothing can refer to it",
            "/device: label: it is no text", "/device/port: status: it is no text"});
  CHECK(device.node.children.front().properties.empty());
}

TEST_CASE("names go with every list that is left out") {
  for (const char* const list : {"mux-controls", "mux-states", "leds", "nvmem", "io-backends",
                                 "access-controllers", "performance-domains"}) {
    CAPTURE(list);
    const std::string name =
        std::string(list).substr(0, std::string(list).find_last_not_of('s') + 1);
    const std::string names = name + "-names";
    DeviceFacts facts = FactsOfNode([&](FdtWriter& fdt) {
      fdt.Cells(list, {9});
      fdt.Strings(names, {"only"});
    });
    facts.config.drop = {list};
    CHECK(MadeAlone(facts).node.properties.empty());
  }
}

TEST_CASE("names of an empty list do not cross") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("device", [&] {
      fdt.Flag("clocks");
      fdt.Strings("clock-names", {"bus"});
      fdt.Strings("dma-names", {"rx"});
    });
  });
  const auto tree = std::make_shared<const DeviceTree>(fdt.Finish());
  const PlannedDevice device = MadeAlone(fakes::FactsOf(tree, "/device"));
  CHECK(FindProperty(device.node, "clock-names") == nullptr);
  CHECK(device.left_out ==
        std::vector<std::string>{"/device: clock-names: the host's clocks is empty"});
}

TEST_CASE("what a driver learns from a node of mere data crosses with that node") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("device", [&] { fdt.Cells("nvidia,vm-irq-config", {8}); });
    fdt.Node("irq-config", [&] {
      fdt.Cells("nvidia,num-vm-irqs", {4});
      fdt.Cells("phandle", {8});
    });
  });
  const PlannedDevice device =
      MadeAlone(fakes::FactsOf(std::make_shared<const DeviceTree>(fdt.Finish()), "/device"));
  REQUIRE(device.companions.size() == 1);
  CHECK(CellsOf(device.node, "nvidia,vm-irq-config") ==
        CellsOf(device.companions.front(), "phandle"));
}

TEST_CASE("a property to drop that is not there is a slip, named") {
  DeviceFacts facts = fakes::FactsOf(fakes::SharedTree("corners"), "/ref-dmas");
  facts.config.drop = {"dmas", "dmsa"};
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "platform.drop: /ref-dmas has no 'dmsa'\nto fix it:\n  did you mean 'dmas'?\n");
  facts.config.drop = {"interrupt-map"};
  facts.config.places = {{"drop", "vm.toml:9:8: platform.drop"}};
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "vm.toml:9:8: platform.drop: /ref-dmas has no 'interrupt-map'\n"
        "to fix it:\n  it has: dmas\n");
}

TEST_CASE("a property to drop may be a child's") {
  DeviceFacts facts = fakes::FactsOf(fakes::SharedTree("corners"), "/child-gpio");
  facts.config.drop = {"key-gpios"};
  CHECK(MadeAlone(facts).left_out ==
        std::vector<std::string>{"/child-gpio/child/deeper: key-gpios: as 'drop' says"});
}

TEST_CASE("a node that the host's tree does not have is an error") {
  CHECK(ChainOf([] { MadeAlone(fakes::FactsOf(fakes::SharedTree("board"), "/axi/none")); }) ==
        "the host's device tree has no node /axi/none\n");
}

}  // namespace
}  // namespace microvm
