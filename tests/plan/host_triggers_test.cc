// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/plan/device_node.h"

namespace microvm {
namespace {

using Triggers = std::vector<std::optional<Trigger>>;

constexpr std::optional<Trigger> kEdge = Trigger::kEdge;
constexpr std::optional<Trigger> kLevel = Trigger::kLevel;

Triggers Of(const std::string& tree_name, const std::string& node) {
  const DeviceTree tree(fakes::TreeBlob(tree_name));
  return HostTriggers(tree, *tree.Find(node));
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
  CHECK(HostTriggers(tree, *tree.Find("/odd")).empty());
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
    CHECK(HostTriggers(tree, *tree.Find("/device")) == Triggers{kLevel});
  }
}

}  // namespace
}  // namespace microvm
