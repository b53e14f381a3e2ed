// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/host/error.h"
#include "vmm/passthrough/host_clocks.h"
#include "vmm/plan/device_binding.h"
#include "vmm/plan/device_node.h"

namespace microvm {
namespace {

using fakes::CellsOf;
using fakes::ChainOf;
using fakes::Contains;
using fakes::FindProperty;
using fakes::MadeAlone;
using fakes::PlanInput;

constexpr const char* kPhyReset = "mdio/ethernet-phy@0/reset-gpios";

DeviceFacts Facts(const std::string& node) {
  DeviceFacts facts = fakes::FactsOf(fakes::SharedTree("suppliers"), node);
  facts.clocks = ReadClocks(*facts.tree, *facts.tree->Find(node), "/nonexistent");
  facts.clocks_below = ReadClocksBelow(*facts.tree, *facts.tree->Find(node), "/nonexistent");
  return facts;
}

// The MAC, ready to be planned: its PHY's reset line is on a GPIO that the guest does not have.
DeviceFacts Mac() {
  DeviceFacts facts = Facts("/mac@2000");
  facts.regions.assign(3, {0x1000, true});
  facts.interrupts = {{true}, {false}};
  facts.config.clocks_hz = {{"mac", 125'000'000}, {"ptp", 250'000'000}};
  facts.config.drop = {kPhyReset};
  return facts;
}

std::vector<std::string> Strings(const PlannedNode& node, std::string_view name) {
  const PlannedProperty* property = FindProperty(node, name);
  if (property == nullptr) return {};
  return DtProperty{name, property->value}.Strings();
}

std::uint32_t PhandleOf(const PlannedNode& node) { return CellsOf(node, "phandle").at(0); }

using CellList = std::vector<std::uint32_t>;
using StringList = std::vector<std::string>;

TEST_CASE("resets go to a controller that does nothing, a register pair for each") {
  const PlannedDevice device = MadeAlone(Mac());
  REQUIRE(device.resets.has_value());
  CHECK(device.resets->count == 4);  // three, and the PHY's
  const std::uint32_t controller = device.resets->controller_phandle;
  CHECK(device.resets->syscon_phandle == controller + 1);
  CHECK(CellsOf(device.node, "resets") ==
        CellList{controller, 0, 0, controller, 8, 0, controller, 16, 0});
  CHECK(Strings(device.node, "reset-names") == StringList{"mac", "pcs", "macsec"});
  CHECK(CellsOf(device.node.children[1].children[0], "resets") == CellList{controller, 24, 0});
}

TEST_CASE("an entry of resets that is dropped takes its name along") {
  DeviceFacts facts = Mac();
  facts.config.drop = {kPhyReset, "resets:pcs"};
  const PlannedDevice device = MadeAlone(facts);
  const std::uint32_t controller = device.resets->controller_phandle;
  CHECK(CellsOf(device.node, "resets") == CellList{controller, 0, 0, controller, 8, 0});
  CHECK(Strings(device.node, "reset-names") == StringList{"mac", "macsec"});
  CHECK(std::count(device.left_out.begin(), device.left_out.end(),
                   "/mac@2000: resets: entry 1, as 'drop' says") == 1);
}

TEST_CASE("entries of clocks stay in their places, <0> too, and lose their names when dropped") {
  DeviceFacts facts = Mac();
  PlannedDevice device = MadeAlone(facts);
  CHECK(CellsOf(device.node, "clocks").size() == 3);
  CHECK(CellsOf(device.node, "clocks")[1] == 0);
  facts.config.drop = {kPhyReset, "clocks:mac"};
  facts.config.clocks_hz = {{"ptp", 5}};
  device = MadeAlone(facts);
  CHECK(CellsOf(device.node, "clocks").size() == 2);
  CHECK(CellsOf(device.node, "clocks")[0] == 0);
  CHECK(Strings(device.node, "clock-names") == StringList{"none", "ptp"});
}

TEST_CASE("a node below crosses with what it refers to below, and with a phandle of the guest's") {
  const PlannedDevice device = MadeAlone(Mac());
  REQUIRE(device.node.children.size() == 2);
  const PlannedNode& phy = device.node.children[1].children[0];
  CHECK(CellsOf(device.node, "phy-handle") == CellList{PhandleOf(phy)});
  CHECK(CellsOf(device.node, "snps,mtl-rx-config") == CellList{PhandleOf(device.node.children[0])});
  CHECK(FindProperty(device.node, "phy-handle")->origin == "host, rewritten");
}

TEST_CASE("a PHY below is polled, and its fixed clock is made") {
  const PlannedDevice device = MadeAlone(Mac());
  const PlannedNode& phy = device.node.children[1].children[0];
  CHECK(FindProperty(phy, "interrupts") == nullptr);
  CHECK(FindProperty(phy, "interrupt-parent") == nullptr);
  REQUIRE(device.clocks.size() == 3);
  const auto crystal = std::find_if(device.clocks.begin(), device.clocks.end(),
                                    [](const auto& clock) { return clock.rate_hz == 25'000'000; });
  REQUIRE(crystal != device.clocks.end());
  CHECK(CellsOf(phy, "clocks") == CellList{crystal->phandle});
}

TEST_CASE("a PHY's clock has the rate that the host has it at, or is dropped at the PHY alone") {
  DeviceFacts facts = Facts("/mac@a000");
  const PlannedDevice device = MadeAlone(facts);
  REQUIRE(device.clocks.size() == 2);
  CHECK(device.clocks[0].rate_hz == 12'500'000);
  const PlannedNode& phy = device.node.children[0].children[0];
  CHECK(CellsOf(phy, "clocks") == CellList{device.clocks[0].phandle});
  facts.clocks_below["/mac@a000/mdio/ethernet-phy@0"].front().rate_hz.reset();
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "/mac@a000/mdio/ethernet-phy@0: the property 'clocks' refers to a clock whose rate is not "
        "known: /half\n"
        "to fix it:\n"
        "  mount -t debugfs none /sys/kernel/debug; or, if the guest's driver can do without it, "
        "add to the [[platform]] table of '0.device':\n"
        "  drop = [\"mdio/ethernet-phy@0/clocks\"]\n");
  facts.config.drop = {"mdio/ethernet-phy@0/clocks"};
  CHECK(MadeAlone(facts).clocks.size() == 1);
}

TEST_CASE("nodes of mere data elsewhere are copied, each once, cycles and all") {
  const PlannedDevice device = MadeAlone(Mac());
  REQUIRE(device.companions.size() == 2);
  const PlannedNode& axi = device.companions[0];
  const PlannedNode& loop = device.companions[1];
  CHECK(CellsOf(device.node, "snps,axi-config") == CellList{PhandleOf(axi)});
  CHECK(CellsOf(axi, "snps,axi-config") == CellList{PhandleOf(loop)});
  CHECK(CellsOf(loop, "snps,axi-config") == CellList{PhandleOf(axi)});
  CHECK(axi.name == "axi-config-" + std::to_string(PhandleOf(axi)));
  CHECK(loop.name == "loop-config-" + std::to_string(PhandleOf(loop)));
  CHECK(loop.children.front().name == "queue0");
}

TEST_CASE("what a device provides is data") {
  CHECK(FindProperty(MadeAlone(Mac()).node, "#clock-cells") != nullptr);
  const PlannedDevice gpio = MadeAlone(Facts("/gpio@1000"));
  CHECK(FindProperty(gpio.node, "gpio-controller") != nullptr);
  CHECK(FindProperty(gpio.node, "interrupt-controller") != nullptr);
  CHECK(CellsOf(gpio.node, "#interrupt-cells") == CellList{2});
  CHECK(CellsOf(gpio.node, "#address-cells") == CellList{0});
  CHECK(gpio.left_out == StringList{"/gpio@1000: gpio-ranges: the host has set the pins"});
}

TEST_CASE("a GPIO that the guest does not have is an error with both remedies") {
  DeviceFacts facts = Mac();
  facts.config.drop = {};
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "/mac@2000/mdio/ethernet-phy@0: the property 'reset-gpios' refers to something the guest "
        "does not have: GPIO /gpio@1000\n"
        "to fix it:\n"
        "  pass /gpio@1000 through too; or, if the guest's driver can do without it, add to the "
        "[[platform]] table of '0.device':\n"
        "  drop = [\"mdio/ethernet-phy@0/reset-gpios\"]\n");
}

TEST_CASE("what another device that is passed through provides is had from there") {
  const PlannedDevice spi = MadeAlone(Facts("/spi@6000"), {}, {{"/dma@5000", 77}});
  CHECK(CellsOf(spi.node, "dmas") == CellList{77, 1, 77, 2});
  CHECK(Strings(spi.node, "dma-names") == StringList{"tx", "rx"});
  DeviceFacts mac = Mac();
  mac.config.drop = {};
  const PlannedDevice device = MadeAlone(mac, {}, {{"/gpio@1000", 78}});
  const PlannedNode& phy = device.node.children[1].children[0];
  CHECK(CellsOf(phy, "reset-gpios") == CellList{78, 5, 1});
  CHECK(CellsOf(phy, "interrupt-parent") == CellList{78});
  CHECK(CellsOf(phy, "interrupts") == CellList{4, 8});
}

TEST_CASE("devices find each other in a plan, whichever comes first") {
  PlanInput input;
  input.devices = {Facts("/spi@6000"), Facts("/dma@5000")};
  input.devices[0].config.host = "6000.spi";
  input.devices[1].config.host = "5000.dma";
  const VmPlan plan = input.Make();
  const std::uint32_t dma = plan.devices[1].phandle;
  CHECK(dma == PhandleOf(plan.devices[1].node));
  CHECK(CellsOf(plan.devices[0].node, "dmas") == CellList{dma, 1, dma, 2});
}

TEST_CASE("the binding of the first compatible that has one says what else stays behind") {
  const PlannedDevice dma = MadeAlone(Facts("/dma@5000"));
  CHECK_FALSE(dma.resets.has_value());
  CHECK(dma.left_out ==
        StringList{"/dma@5000: resets: optional: the guest's driver does without",
                   "/dma@5000: reset-names: optional: the guest's driver does without"});
  const PlannedDevice uart = MadeAlone(Facts("/uart@7000"));
  CHECK(FindProperty(uart.node, "dmas") == nullptr);
  CHECK(FindProperty(uart.node, "dma-names") == nullptr);
  CHECK(uart.left_out.size() == 3);
}

TEST_CASE("bindings match along compatible, in its order") {
  const auto tree = fakes::SharedTree("suppliers");
  CHECK(FindBinding(*tree->Find("/dma@5000"))->compatible == "arm,pl330");
  CHECK(FindBinding(*tree->Find("/uart@7000"))->compatible == "renesas,scif");
  CHECK(FindBinding(*tree->Find("/mac@2000")) == nullptr);
}

TEST_CASE("a device that only sends messages is refused, with the reason") {
  CHECK(Contains(ChainOf([] { MadeAlone(Facts("/flexrm@8000")); }),
                 "/flexrm@8000: the property 'msi-parent' cannot cross: its interrupts are "
                 "messages, and the guest has no ITS to take them"));
  DeviceFacts facts = Facts("/flexrm@8000");
  facts.config.drop = {"msi-parent"};
  CHECK(CellsOf(MadeAlone(facts).node, "#mbox-cells") == CellList{3});
}

TEST_CASE(
    "interrupts of a node below that the device itself takes are data, and so are a hog's GPIOs") {
  const PlannedDevice keys = MadeAlone(Facts("/keys@9000"));
  CHECK(CellsOf(keys.node.children[0], "interrupts") == CellList{3});
  CHECK(CellsOf(keys.node.children[1], "gpios") == CellList{3, 0});
}

TEST_CASE("any region or interrupt can be withheld, by name or number") {
  PlanInput input;
  DeviceFacts facts = Mac();
  facts.config.drop = {kPhyReset, "reg:hypervisor", "interrupts:1"};
  input.devices = {facts};
  const VmPlan plan = input.Make();
  const PlannedDevice& device = plan.devices.front();
  REQUIRE(device.regions.size() == 2);
  CHECK(device.regions[0].index == 1);
  CHECK(device.regions[1].index == 2);
  REQUIRE(device.interrupts.size() == 1);
  CHECK(device.interrupts[0].index == 0);
  CHECK(CellsOf(device.node, "reg").size() == 8);
  CHECK(Strings(device.node, "reg-names") == StringList{"mac", "xpcs"});
  CHECK(Strings(device.node, "interrupt-names") == StringList{"common"});
  CHECK(std::count(device.left_out.begin(), device.left_out.end(),
                   "/mac@2000: reg: entry 0, as 'drop' says") == 1);
}

TEST_CASE("an entry to drop that is not there is a slip, named") {
  struct Slip {
    std::string drop;
    const char* remedy;
  };
  const std::vector<Slip> slips = {
      {"reg:hypervizor", "did you mean 'reg:hypervisor'?"},
      {"reg:99", "it has: reg:hypervisor, reg:mac, reg:xpcs"},
      {"rge:0",
       "its lists with entries to drop are: reg, interrupts, clocks, resets, power-domains"},
      {"phy-mode:0",
       "its lists with entries to drop are: reg, interrupts, clocks, resets, power-domains"},
      {"mdio/nothing", "it has: mdio/#address-cells, mdio/#size-cells"},
      {"nowhere/reg", "there is no node nowhere/ below it"},
  };
  for (const Slip& slip : slips) {
    CAPTURE(slip.drop);
    DeviceFacts facts = Mac();
    facts.config.drop = {kPhyReset, slip.drop};
    const std::string complaint = ChainOf([&] { MadeAlone(facts); });
    CHECK(
        Contains(complaint, std::string("platform.drop: /mac@2000 has no '") + slip.drop + "'\n"));
    CHECK(Contains(complaint, slip.remedy));
  }
}

TEST_CASE("the configuration's properties take the place of the host's, and need no supplier") {
  DeviceFacts facts = Facts("/spi@6000");
  facts.config.properties = {{"dmas", {}}, {"acme,new", {std::byte{1}}}};
  const PlannedDevice device = MadeAlone(facts);
  CHECK(FindProperty(device.node, "dmas")->value.empty());
  CHECK(FindProperty(device.node, "dmas")->origin == "configuration");
  CHECK(FindProperty(device.node, "acme,new")->value.size() == 1);
}

TEST_CASE("the plan gives the resets a page of their own") {
  PlanInput input;
  input.devices = {Mac()};
  const PlannedDevice device = input.Make().devices.front();
  CHECK(device.resets->registers == AddressRange({0x1403'0000}, 0x1000));
}

TEST_CASE("more resets than the page has registers for are an error") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("controller", [&] { fdt.Cells("phandle", {1}); });
    fdt.Node("device", [&] { fdt.Cells("resets", CellList(513, 1)); });
  });
  const DeviceFacts facts =
      fakes::FactsOf(std::make_shared<const DeviceTree>(fdt.Finish()), "/device");
  CHECK(ChainOf([&] { MadeAlone(facts); }) ==
        "/device: resets: more than 512\n"
        "to fix it:\n"
        "  if the guest's driver can do without it, add to the [[platform]] table of '0.device':\n"
        "  drop = [\"resets\"]\n");
}

TEST_CASE("every binding names its document") {
  for (const DeviceBinding& binding : DeviceBindings()) {
    CAPTURE(binding.compatible);
    CHECK_FALSE(binding.document.empty());
  }
}

}  // namespace
}  // namespace microvm
