// SPDX-License-Identifier: Apache-2.0
// What a tree alone says: registers, pages, interrupts, DMA, who uses what.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/inspect/dma.h"
#include "vmm/inspect/host_index.h"
#include "vmm/inspect/inspect.h"
#include "vmm/inspect/page_map.h"
#include "vmm/plan/host_interrupts.h"
#include "vmm/plan/interrupt_line.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using Paths = std::vector<std::string>;

const HostIndex& Facts() {
  static const HostIndex index(std::make_shared<const DeviceTree>(fakes::TreeBlob("inspect")));
  return index;
}

DtNode NodeOf(const std::string& path) { return Facts().tree().Find(path).value(); }
DtNode OnBus(const std::string& name) { return NodeOf("/bus@80000000/" + name); }

std::vector<NodeRegion> RegionsOf(const DtNode& node) { return ReadRegions(node); }

DmaFacts DmaOf(const std::string& name) { return ReadDma(Facts(), Facts().Read(OnBus(name))); }

std::vector<InterruptLine> LinesOf(const std::string& name) {
  std::vector<InterruptLine> lines;
  const DtNode node = OnBus(name);
  for (const Reference& reference : Facts().Read(node).references) {
    if (reference.supplier != SupplierClass::kInterrupt) continue;
    lines.push_back(ReadInterruptLine(Facts().tree(), node, reference.target, reference.arguments));
  }
  return lines;
}

TEST_CASE("reg is translated through the ranges of each bus above") {
  const auto timer = RegionsOf(OnBus("timer@1800"));
  REQUIRE(timer.size() == 2);
  CHECK(timer[0].bus_address == 0x1800);
  CHECK(timer[0].cpu_address == 0x8000'1800U);
  CHECK(timer[0].size_bytes == 0x100);
  CHECK_FALSE(timer[0].IsPageAligned());
  CHECK(timer[1].cpu_address == 0x1'0000'0000U);
  CHECK(timer[1].IsPageAligned());
  CHECK(RegionsOf(OnBus("window/inner@10")).front().cpu_address == 0x8002'0010U);
  CHECK(RegionsOf(NodeOf("/interrupt-controller@f9010000/msi-controller@f9100000"))
            .front()
            .cpu_address == 0xf910'0000U);
}

TEST_CASE("what no ranges lead to, the CPU does not reach") {
  CHECK_FALSE(RegionsOf(OnBus("unreachable@300000")).front().cpu_address.has_value());
  CHECK_FALSE(RegionsOf(OnBus("closed/inside@0")).front().cpu_address.has_value());
  const auto sensor = RegionsOf(OnBus("i2c@15000/sensor@48"));
  CHECK(sensor.front().bus_address == 0x48);
  CHECK(sensor.front().size_bytes == 0);
  CHECK_FALSE(sensor.front().cpu_address.has_value());
}

TEST_CASE("a malformed reg is an error that names its node") {
  const auto complaint = [](const std::string& path) {
    return ChainOf([&] { return ReadRegions(NodeOf(path)); });
  };
  CHECK(complaint("/wrap@fffffffffffff000") ==
        "/wrap@fffffffffffff000: reg: 0xfffffffffffff000 + 0x2000 goes beyond 2^64\n");
  CHECK(complaint("/cut@1000") == "/cut@1000: reg: 12 bytes are no list of entries of 4 cells\n");
  CHECK(complaint("/absurd/lost@0") == "/absurd: #address-cells = 268435457 is more than 4\n");
}

TEST_CASE("dma-ranges are those of the nearest bus that has some") {
  const auto windows = ReadDmaWindows(Facts().tree(), OnBus("window/inner@10"));
  REQUIRE(windows.size() == 1);
  CHECK(windows[0].bus_address == 0);
  CHECK(windows[0].cpu_address == 0x4000'0000);
  CHECK(windows[0].size_bytes == 0x4000'0000);
  CHECK(ReadDmaWindows(Facts().tree(), NodeOf("/osc")).empty());
}

bool Everyone(std::size_t /*owner*/) { return true; }

TEST_CASE("a page map answers with all that touch a page, and none beside it") {
  PageMap map;
  map.Add(1, 0x1000, 0x800);
  map.Add(2, 0x1800, 0x800);
  map.Add(3, 0x2000, 0x1000);
  map.Add(4, 0x0, 0x10000);  // spans them all, and begins first
  map.Add(5, ~std::uint64_t{0xfff}, 0x1000);
  map.Finish();
  CHECK(map.Touching(0x1fff, 1, 10, Everyone) == std::vector<std::size_t>{4, 1, 2});
  CHECK(map.Touching(0x1fff, 2, 10, Everyone) == std::vector<std::size_t>{4, 1, 2, 3});
  CHECK(map.Touching(0x1fff, 2, 2, Everyone) == std::vector<std::size_t>{4, 1});
  CHECK(map.Touching(0xf000, 0x1000, 10, Everyone) == std::vector<std::size_t>{4});
  CHECK(map.Touching(0x10000, 0x1000, 10, Everyone).empty());
  CHECK(map.Touching(~std::uint64_t{0}, 1, 10, Everyone) == std::vector<std::size_t>{5});
}

TEST_CASE("a page map tells who has bytes apart from who is in their pages") {
  PageMap map;
  map.Add(1, 0x1000, 0x800);
  map.Add(2, 0x1800, 0x800);
  map.Add(3, 0x17ff, 2);
  map.Finish();
  CHECK(map.Having(0x1000, 0x800, 10, Everyone) == std::vector<std::size_t>{1, 3});
  CHECK(map.Having(0x1800, 1, 10, Everyone) == std::vector<std::size_t>{3, 2});
  CHECK(map.Having(0x1801, 0x1000, 10, Everyone) == std::vector<std::size_t>{2});
  CHECK(map.Having(0, ~std::uint64_t{0}, 10, Everyone) == std::vector<std::size_t>{1, 3, 2});
}

TEST_CASE("those who are not asked for do not count for a page map's limit") {
  PageMap map;
  for (std::size_t owner = 0; owner < 100; ++owner) map.Add(owner, 0x1000 + owner, 1);
  map.Finish();
  CHECK(map.Touching(0x1000, 1, 2, [](std::size_t owner) { return owner > 70; }) ==
        std::vector<std::size_t>{71, 72});
}

TEST_CASE("an empty page map has no answer") {
  PageMap map;
  map.Finish();
  CHECK(map.Having(0, 1, 1, Everyone).empty());
  CHECK(map.Touching(0, 1, 1, Everyone).empty());
}

TEST_CASE("page sharers are other enabled nodes, whole pages or not") {
  const DtNode serial = OnBus("serial@1000");
  CHECK(Facts().SharersOfPages(serial, RegionsOf(serial).front()) ==
        Paths{"/bus@80000000/timer@1800"});
  const DtNode plain = OnBus("plain@3000");
  CHECK(Facts().SharersOfPages(plain, RegionsOf(plain).front()).empty());
}

TEST_CASE("interrupts of a GIC have a kind, a number and a trigger") {
  const auto lines = LinesOf("timer@1800");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].kind == "SPI");
  CHECK(lines[0].intid == 43U);
  CHECK(lines[0].trigger == Trigger::kEdge);
  CHECK(lines[1].kind == "PPI");
  CHECK(lines[1].intid == 25U);
  CHECK(lines[1].trigger == Trigger::kLevel);
}

TEST_CASE("an interrupt is followed through a nexus") {
  const auto lines = LinesOf("through@c000");
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].controller == "/interrupt-controller@f9010000");
  CHECK(lines[0].intid == 110U);
  CHECK(lines[0].trigger == Trigger::kEdge);
  CHECK(lines[1].kind == "ESPI");
  CHECK(lines[1].intid == 4101U);
}

TEST_CASE("a nexus that leads in a circle is an error that names it") {
  CHECK(ChainOf([] { return LinesOf("circling@d000"); }) ==
        "/circle: interrupt-map: it leads in a circle\n");
}

TEST_CASE("an interrupt-map that would be searched for ever is an error that names it") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("nexus", [&] {
      fdt.Cells("#interrupt-cells", {1});
      fdt.Cells("phandle", {1});
      fdt.Bytes("interrupt-map", std::vector<std::byte>(std::size_t{5000} * 4));
    });
    fdt.Node("device", [&] { fdt.Cells("interrupts-extended", {1, 7}); });
  });
  const DeviceTree tree(fdt.Finish());
  CHECK(ChainOf([&] { HostInterrupts(tree, *tree.Find("/device")); }) ==
        "/nexus: interrupt-map: 5000 cells are more than 1024\n");
}

TEST_CASE("sharers of a line do not depend on the trigger; those of a clock on its output") {
  const DtNode shared = OnBus("shared-a@a000");
  CHECK(Facts().SharersOf(shared, Facts().Read(shared).references.front()) ==
        Paths{"/bus@80000000/shared-b@b000"});
  const DtNode stubbed = OnBus("stubbed@4000");
  const auto& references = Facts().Read(stubbed).references;
  const auto sharers_of = [&](const std::string& property, std::size_t index) {
    for (const Reference& reference : references) {
      if (reference.property == property && reference.index == index) {
        return Facts().SharersOf(stubbed, reference);
      }
    }
    return Paths{"no such reference"};
  };
  CHECK(sharers_of("clocks", 0).empty());
  CHECK(sharers_of("clocks", 1) == Paths{"/bus@80000000/serial@1000"});
}

TEST_CASE("a node that uses a thing often is one of its users") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("gic", [&] {
      fdt.Cells("#interrupt-cells", {3});
      fdt.Cells("phandle", {1});
    });
    for (const char* name : {"asked", "often", "once"}) {
      fdt.Node(name, [&] {
        fdt.Cells("interrupt-parent", {1});
        fdt.Cells("interrupts", {0, 5, 4, 0, 5, 1, 0, 5, 4});
      });
    }
  });
  const HostIndex index(std::make_shared<const DeviceTree>(fdt.Finish()));
  const DtNode asked = index.tree().Find("/asked").value();
  CHECK(index.SharersOf(asked, index.Read(asked).references.front()) == Paths{"/often", "/once"});
}

TEST_CASE("users of a node are those that refer to it") {
  const auto users = Facts().UsersOf(OnBus("gpio@6000"));
  REQUIRE(users.size() == 1);
  CHECK(users[0].path == "/bus@80000000/needy@5000");
  CHECK(users[0].property == "mystery-gpios");
  CHECK(Facts().UsersOf(OnBus("plain@3000")).empty());
}

TEST_CASE("an IOMMU is accepted where its driver says that DMA is coherent") {
  const DmaFacts v3 = DmaOf("ethernet@10000");
  REQUIRE(v3.iommus.size() == 1);
  CHECK(v3.iommus[0].driver == "arm-smmu-v3");
  CHECK(v3.iommus[0].accepted);
  CHECK(v3.iommus[0].specifier == std::vector<std::uint32_t>{5});
  CHECK(v3.isolated_msi);
  CHECK(v3.coherent);
  CHECK_FALSE(DmaOf("dma-a@11000").iommus.at(0).accepted);  // neither end is coherent
  CHECK(DmaOf("dma-b@12000").iommus.at(0).accepted);        // the device is
  CHECK(DmaOf("dma-c@13000").iommus.at(0).driver == "ipmmu-vmsa");
  CHECK_FALSE(DmaOf("dma-c@13000").iommus.at(0).accepted);
  CHECK_FALSE(DmaOf("dma-d@14000").behind_iommu());  // disabled: the host has none
}

TEST_CASE("a reset function is found by the first compatible, as VFIO does") {
  CHECK(ResetDriver(OnBus("ethernet@10000")) == "vfio-platform-calxedaxgmac");
  CHECK(ResetDriver(OnBus("dma-b@12000")).empty());
}

TEST_CASE("a node is found by path, by Linux's name of its device, and by unit name") {
  CHECK(FindNode(Facts(), "/bus@80000000/plain@3000").path() == "/bus@80000000/plain@3000");
  CHECK(FindNode(Facts(), "80003000.plain").path() == "/bus@80000000/plain@3000");
  CHECK(FindNode(Facts(), "plain@3000").path() == "/bus@80000000/plain@3000");
  CHECK(ChainOf([] { return FindNode(Facts(), "/no"); }) == "the tree has no node /no\n");
  CHECK(ChainOf([] { return FindNode(Facts(), "plain"); }) ==
        "the tree has no node 'plain'\nto fix it:\n  did you mean one of these?\n"
        "    /bus@80000000/plain@3000\n");
}

TEST_CASE("devices without an address are named after what is above them") {
  CHECK(DeviceName(NodeOf("/osc")) == "osc");
  CHECK(DeviceName(OnBus("i2c@15000/sensor@48")) == "80015000.i2c:sensor@48");
}

}  // namespace
}  // namespace microvm
