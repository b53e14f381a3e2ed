// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/host_interrupts.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/fdt/fdt_writer.h"

namespace microvm {
namespace {

using Triggers = std::vector<std::optional<Trigger>>;

constexpr std::optional<Trigger> kEdge = Trigger::kEdge;
constexpr std::optional<Trigger> kLevel = Trigger::kLevel;

Triggers TriggersOf(const DeviceTree& tree, const std::string& node) {
  Triggers triggers;
  for (const InterruptLine& interrupt : HostInterrupts(tree, *tree.Find(node))) {
    triggers.push_back(interrupt.trigger);
  }
  return triggers;
}

Triggers Of(const std::string& tree_name, const std::string& node) {
  return TriggersOf(DeviceTree(fakes::TreeBlob(tree_name)), node);
}

TEST_CASE("a GIC's specifiers tell edges and levels, rising and falling") {
  CHECK(Of("corners", "/triggers") == Triggers{kEdge, kEdge, kLevel, kLevel, kLevel, std::nullopt});
}

TEST_CASE("each interrupt of interrupts-extended is read by its own controller") {
  CHECK(Of("corners", "/triggers-extended") == Triggers{kLevel, std::nullopt, kEdge});
}

TEST_CASE("a controller whose binding is not known leaves the trigger open") {
  CHECK(Of("corners", "/triggers-unknown") == Triggers(2));
}

TEST_CASE("half a specifier is no interrupt") {
  CHECK(Of("corners", "/triggers-short") == Triggers{kLevel});
}

TEST_CASE("a node without interrupts has no triggers") {
  CHECK(Of("corners", "/triggers-none").empty());
  CHECK(Of("clocks", "/all").empty());
}

TEST_CASE("an interrupts property that is no list of cells has no triggers") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Cells("interrupt-parent", {1});
    fdt.Node("gic", [&] {
      fdt.String("compatible", "arm,gic-v3");
      fdt.Cells("#interrupt-cells", {3});
      fdt.Cells("phandle", {1});
    });
    fdt.Node("odd", [&] { fdt.Bytes("interrupts", std::vector<std::byte>(13)); });
  });
  const DeviceTree tree(fdt.Finish());
  CHECK(HostInterrupts(tree, *tree.Find("/odd")).empty());
}

TEST_CASE("every GIC that Arm's bindings name is known") {
  for (const char* compatible :
       {"arm,gic-v3", "arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a9-gic"}) {
    CAPTURE(compatible);
    FdtWriter fdt;
    fdt.Node("", [&] {
      fdt.Node("gic", [&] {
        fdt.String("compatible", compatible);
        fdt.Cells("#interrupt-cells", {3});
        fdt.Cells("phandle", {1});
      });
      fdt.Node("device", [&] {
        fdt.Cells("interrupt-parent", {1});
        fdt.Cells("interrupts", {0, 9, 4});
      });
    });
    const DeviceTree tree(fdt.Finish());
    CHECK(TriggersOf(tree, "/device") == Triggers{kLevel});
  }
}

// A device whose interrupts are those of a GIC at the root.
std::vector<InterruptLine> OfGic(const std::vector<std::uint32_t>& interrupts) {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("gic", [&] {
      fdt.String("compatible", "arm,gic-v3");
      fdt.Cells("#interrupt-cells", {3});
      fdt.Cells("phandle", {1});
    });
    fdt.Node("device", [&] {
      fdt.Cells("interrupt-parent", {1});
      fdt.Cells("interrupts", interrupts);
    });
  });
  const DeviceTree tree(fdt.Finish());
  return HostInterrupts(tree, *tree.Find("/device"));
}

TEST_CASE(
    "a GIC's specifiers tell the interrupt's number: SPIs from 32, PPIs from 16, extended SPIs "
    "from 4096") {
  const auto interrupts = OfGic({0, 58, 4, 1, 9, 4, 2, 3, 4, 0, 0xffff'fff0, 4});
  REQUIRE(interrupts.size() == 4);
  CHECK(interrupts[0].controller == "/gic");
  CHECK(interrupts[0].intid == 90U);
  CHECK(interrupts[1].intid == 25U);
  CHECK(interrupts[2].intid == 4099U);
  CHECK_FALSE(interrupts[3].intid.has_value());
}

TEST_CASE("an interrupt behind a nexus is the line that the nexus makes of it") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("gic", [&] {
      fdt.String("compatible", "arm,gic-v3");
      fdt.Cells("#interrupt-cells", {3});
      fdt.Cells("#address-cells", {0});
      fdt.Cells("phandle", {1});
    });
    fdt.Node("nexus", [&] {
      fdt.Cells("#interrupt-cells", {1});
      fdt.Cells("#address-cells", {0});
      fdt.Cells("interrupt-map", {5, 1, 0, 58, 4, 6, 1, 0, 59, 1});
      fdt.Cells("phandle", {2});
    });
    fdt.Node("device", [&] {
      fdt.Cells("interrupt-parent", {2});
      fdt.Cells("interrupts", {6, 5});
    });
    fdt.Node("lost", [&] {
      fdt.Cells("interrupt-parent", {2});
      fdt.Cells("interrupts", {7});
    });
  });
  const DeviceTree tree(fdt.Finish());
  const auto interrupts = HostInterrupts(tree, *tree.Find("/device"));
  REQUIRE(interrupts.size() == 2);
  CHECK(interrupts[0].intid == 91U);
  CHECK(interrupts[0].trigger == kEdge);
  CHECK(interrupts[1].intid == 90U);
  CHECK(interrupts[1].trigger == kLevel);
  CHECK(fakes::ChainOf([&] { HostInterrupts(tree, *tree.Find("/lost")); }) ==
        "/nexus: interrupt-map: it has no entry for an interrupt of /lost\n");
}

TEST_CASE("a line that is listed again is known as the first of it") {
  using Indexes = std::vector<std::uint32_t>;
  const auto interrupts = OfGic({0, 58, 4, 0, 59, 4, 0, 58, 4, 0, 58, 1, 0, 59, 4});
  // Whatever the trigger: a line has one.
  CHECK(FirstOfEachLine(interrupts, 5) == Indexes{0, 1, 0, 0, 1});
  // What the tree does not tell is a line of its own.
  CHECK(FirstOfEachLine(interrupts, 7) == Indexes{0, 1, 0, 0, 1, 5, 6});
  CHECK(FirstOfEachLine({}, 2) == Indexes{0, 1});
}

}  // namespace
}  // namespace microvm
