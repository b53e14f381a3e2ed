// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/references.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

using fakes::ChainOf;

// "clocks 0 clock /p0 0x1 0x2", a line for each reference.
std::string ReferencesOf(const std::string& path) {
  const DeviceTree tree(fakes::TreeBlob("references"));
  std::string lines;
  for (const Reference& reference : References(tree, *tree.Find(path))) {
    lines += std::string(reference.property) + " " + std::to_string(reference.index) + " " +
             ToString(reference.supplier) + " " + reference.target.path();
    for (const std::uint32_t argument : reference.arguments) lines += " " + Hex(argument);
    lines += "\n";
  }
  return lines;
}

TEST_CASE("a list that is longer than any board's is an error that names it") {
  const auto complaint = [](std::size_t count) {
    FdtWriter fdt;
    fdt.Node("", [&] {
      fdt.Node("device", [&] { fdt.Cells("resets", std::vector<std::uint32_t>(count, 1)); });
      fdt.Node("other", [&] { fdt.Cells("phandle", {1}); });
    });
    const DeviceTree tree(fdt.Finish());
    return ChainOf([&] { References(tree, *tree.Find("/device")); }) +
           ChainOf([&] { ReadReferences(tree, *tree.Find("/device"), "resets", "#reset-cells"); });
  };
  CHECK(complaint(kMostReferences) == "");
  const std::string line = "/device: resets: more than 1024 entries\n";
  CHECK(complaint(kMostReferences + 1) == line + line);
}

TEST_CASE("the references of the common bindings, in the order of the node") {
  CHECK(ReferencesOf("/common") ==
        "clocks 0 clock /p0\n"
        "clocks 2 clock /p2 0x1 0x2\n"
        "resets 0 reset /p2 0x3 0x4\n"
        "resets 1 reset /p0\n"
        "power-domains 0 power domain /p2 0x5\n"
        "pinctrl-0 0 pin controller /p0\n"
        "pinctrl-0 1 pin controller /p2\n"
        "iommus 0 IOMMU /p2 0x6\n"
        "iommu-map 0 IOMMU /p2 0x7 0x1\n"
        "interconnects 0 interconnect /p2 0x8\n"
        "interconnects 1 interconnect /p0\n"
        "phys 0 PHY /p2 0x9\n"
        "phy-handle 0 Ethernet PHY /p0\n"
        "reset-gpios 0 GPIO /p2 0xa 0x1\n"
        "vdd-supply 0 regulator /p0\n"
        "dmas 0 DMA channel /p2 0x1\n"
        "dmas 1 DMA channel /p2 0x2\n"
        "mboxes 0 mailbox /p2 0x1 0x2\n"
        "cooling-device 0 thermal zone /p2 0x0 0x1\n"
        "nvmem-cells 0 NVMEM cell /p0\n"
        "memory-region 0 memory region /p0\n"
        "memory-region 1 memory region /p2\n"
        "syscon 0 system controller /p0 0x188 0x1\n"
        "msi-parent 0 interrupt controller /gic 0x4100\n"
        "interrupts 0 interrupt controller /gic 0x0 0x1 0x4\n"
        "interrupts 1 interrupt controller /gic 0x0 0x2 0x1\n"
        "pwms 0 other node /p2 0x0 0x1 0x2\n");
}

TEST_CASE("vendors' references that the kernel's bindings know, or whose name says so") {
  CHECK(ReferencesOf("/vendors") ==
        "snps,axi-config 0 other node /p0\n"
        "nvidia,bpmp 0 mailbox /p0 0x3\n"
        "fsl,stop-mode 0 system controller /p0 0x10 0x20\n"
        "ti,syscon-pcie-ctrl 0 system controller /p0 0x70\n"
        "renesas,vsps 0 other node /p0 0x0\n"
        "renesas,vsps 1 other node /p2 0x1\n"
        "acme,syscon-phandle 0 system controller /p0\n"
        "acme,bus-handle 0 other node /p2\n");
}

TEST_CASE("interrupts-extended takes the place of interrupts") {
  CHECK(ReferencesOf("/extended") ==
        "interrupts-extended 0 interrupt controller /gic 0x0 0x1 0x4\n"
        "interrupts-extended 1 interrupt controller /p0 0x7\n");
}

TEST_CASE("an interrupt nexus refers to the parents of its map, and its children to it") {
  CHECK(ReferencesOf("/nexus") ==
        "interrupt-map 0 interrupt controller /gic 0x0 0x1 0x4\n"
        "interrupt-map 1 interrupt controller /p0 0x5\n");
  CHECK(ReferencesOf("/nexus/leaf") == "interrupts 0 interrupt controller /nexus 0x2\n");
}

TEST_CASE("a node may refer to nothing") {
  CHECK(ReferencesOf("/none").empty());
  CHECK(ReferencesOf("/hog").empty());
}

TEST_CASE("a malformed reference is an error that names path and property") {
  const auto complaint = [](const std::string& path) {
    return ChainOf([&] { ReferencesOf(path); });
  };
  CHECK(complaint("/bad-dangling") == "/bad-dangling: resets: no node has phandle 0xbeef\n");
  CHECK(complaint("/bad-short") == "/bad-short: dmas: the last entry is cut short\n");
  CHECK(complaint("/bad-bytes") == "/bad-bytes: clocks: not a list of cells\n");
  CHECK(complaint("/bad-map") == "/bad-map: iommu-map: the last entry is cut short\n");
  CHECK(complaint("/bad-nexus") == "/bad-nexus: interrupt-map: the last entry is cut short\n");
  CHECK(complaint("/bad-interrupts") ==
        "/bad-interrupts: interrupts: the last entry is cut short\n");
  CHECK(complaint("/bad-parent") == "/bad-parent: interrupts: it has no interrupt parent\n");
}

TEST_CASE("interrupt parents in a loop are an error, not a hang") {
  // Not in references.dts, like the next: dtc itself does not come out of such a loop.
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("a", [&] {
      fdt.Cells("phandle", {1});
      fdt.Cells("interrupt-parent", {2});
      fdt.Cells("interrupts", {1});
    });
    fdt.Node("b", [&] {
      fdt.Cells("phandle", {2});
      fdt.Cells("interrupt-parent", {1});
    });
  });
  const DeviceTree tree(fdt.Finish());
  CHECK(ChainOf([&] { References(tree, *tree.Find("/a")); }) ==
        "/a: interrupts: it has no interrupt parent\n");
}

TEST_CASE("absurd numbers of cells are an error") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    const auto nexus = [&](const char* name, std::uint32_t address_cells,
                           std::uint32_t interrupt_cells) {
      fdt.Node(name, [&] {
        fdt.Cells("#address-cells", {address_cells});
        fdt.Cells("#interrupt-cells", {interrupt_cells});
        fdt.Cells("interrupt-map", {1, 1, 1, 1});
      });
    };
    nexus("child", UINT32_MAX, UINT32_MAX);
    nexus("parent", 0, 1);
    fdt.Node("consumer", [&] { fdt.Cells("clocks", {1, 1, 1}); });
    fdt.Node("controller", [&] {
      fdt.Cells("phandle", {1});
      fdt.Cells("#clock-cells", {UINT32_MAX});
      fdt.Cells("#address-cells", {UINT32_MAX});
      fdt.Cells("#interrupt-cells", {UINT32_MAX});
    });
  });
  const DeviceTree tree(fdt.Finish());
  CHECK(ChainOf([&] { References(tree, *tree.Find("/consumer")); }) ==
        "/consumer: clocks: the last entry is cut short\n");
  for (const std::string path : {"/child", "/parent"}) {
    CHECK(ChainOf([&] { References(tree, *tree.Find(path)); }) ==
          path + ": interrupt-map: the last entry is cut short\n");
  }
}

}  // namespace
}  // namespace microvm
