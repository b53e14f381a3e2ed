// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/device_tree.h"

#include <doctest/doctest.h>
#include <libfdt.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "tests/fakes/dtc.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;

constexpr const char* kCan = "/axi/canfd@ff070000";

DeviceTree Board() { return DeviceTree(fakes::TreeBlob("board")); }

std::string Names(const std::vector<DtNode>& nodes) {
  std::string names;
  for (const DtNode& node : nodes) names += std::string(node.name()) + " ";
  return names;
}

TEST_CASE("a node is found by its path, and knows it") {
  const DeviceTree tree = Board();
  const auto can = tree.Find(kCan);
  REQUIRE(can.has_value());
  CHECK(can->name() == "canfd@ff070000");
  CHECK(can->path() == kCan);
  CHECK(tree.root().path() == "/");
  CHECK(tree.root().name().empty());
}

TEST_CASE("a path that leads nowhere finds nothing") {
  const DeviceTree tree = Board();
  CHECK_FALSE(tree.Find("/axi/canfd@0").has_value());
  CHECK_FALSE(tree.Find("").has_value());
  CHECK_FALSE(tree.Find("no-alias").has_value());
}

TEST_CASE("parents and children are each other's") {
  const DeviceTree tree = Board();
  const auto axi = tree.Find("/axi");
  CHECK(Names(axi->children()) ==
        "canfd@ff070000 mac@ff140000 timer@ff120000 uart@ff000000 regulator-switch ");
  for (const DtNode& child : axi->children()) CHECK(child.parent() == axi);
  CHECK_FALSE(tree.root().parent().has_value());
  CHECK(tree.Find(kCan)->children().empty());
}

TEST_CASE("nodes are numbered, each before those below it") {
  const DeviceTree tree = Board();
  const std::vector<DtNode> nodes = tree.AllNodes();
  CHECK(tree.root().subtree_end() == nodes.size());
  for (std::size_t index = 0; index < nodes.size(); ++index) {
    CHECK(nodes[index].index() == index);
    std::size_t next = index + 1;
    for (const DtNode& child : nodes[index].children()) {
      CHECK(child.index() == next);
      next = child.subtree_end();
    }
    CHECK(nodes[index].subtree_end() == next);
  }
}

TEST_CASE("properties are read as cells, strings, flags and bytes") {
  const DeviceTree tree = Board();
  const auto can = tree.Find(kCan);
  CHECK(can->Cell("rx-fifo-depth") == 0x40U);
  CHECK(can->Property("interrupts")->Cells() == std::vector<std::uint32_t>{0, 21, 4});
  CHECK(can->Strings("clock-names") == std::vector<std::string>{"can_clk", "s_axi_aclk"});
  CHECK(tree.Find("/axi")->Property("ranges")->value.empty());
  CHECK(can->Property("mac-address")->value.size() == 6);
  CHECK_FALSE(can->Property("mac-address")->Cells().has_value());
  CHECK_FALSE(can->Property("absent").has_value());
  CHECK_FALSE(can->Cell("absent").has_value());
  CHECK(can->Strings("absent").empty());
}

TEST_CASE("a property shorter than a cell has no first cell") {
  FdtWriter fdt;
  fdt.Node("", [&] { fdt.Bytes("short", std::vector<std::byte>(3)); });
  const DeviceTree tree(fdt.Finish());
  CHECK_FALSE(tree.root().Cell("short").has_value());
}

TEST_CASE("a value without a NUL at its end is no list of strings") {
  FdtWriter fdt;
  fdt.Node("", [&] { fdt.Bytes("text", std::vector<std::byte>(3, std::byte{'a'})); });
  const DeviceTree tree(fdt.Finish());
  CHECK(tree.root().Strings("text").empty());
}

TEST_CASE("properties keep the order of the tree") {
  const DeviceTree tree = Board();
  std::string names;
  for (const DtProperty& property : tree.Find("/ref-clk")->properties()) {
    names += std::string(property.name) + " ";
  }
  CHECK(names == "compatible #clock-cells clock-frequency phandle ");
}

TEST_CASE("a property behind a node below is none, as to libfdt") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Cells("first", {1});
    fdt.Node("below", [&] { fdt.Cells("own", {2}); });
    fdt.Cells("late", {3});
  });
  const DeviceTree tree(fdt.Finish());
  CHECK(fdt_getprop(tree.blob(), 0, "late", nullptr) == nullptr);
  CHECK_FALSE(tree.root().Property("late").has_value());
  CHECK(tree.root().properties().size() == 1);
  CHECK(tree.Find("/below")->properties().size() == 1);
}

TEST_CASE("compatible matches any entry whole") {
  const DeviceTree tree = Board();
  CHECK(tree.root().IsCompatible("acme,board"));
  CHECK(tree.root().IsCompatible("acme,soc"));
  CHECK_FALSE(tree.root().IsCompatible("acme,so"));
}

TEST_CASE("a node is enabled unless its status says otherwise") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("none", [] {});
    for (const char* status : {"okay", "ok", "disabled", "reserved", "fail"}) {
      fdt.Node(status, [&] { fdt.String("status", status); });
    }
  });
  const DeviceTree tree(fdt.Finish());
  CHECK(tree.Find("/none")->IsEnabled());
  CHECK(tree.Find("/okay")->IsEnabled());
  CHECK(tree.Find("/ok")->IsEnabled());
  CHECK_FALSE(tree.Find("/disabled")->IsEnabled());
  CHECK_FALSE(tree.Find("/reserved")->IsEnabled());
  CHECK_FALSE(tree.Find("/fail")->IsEnabled());
}

TEST_CASE("a node is found by its phandle") {
  const DeviceTree tree = Board();
  const auto gic = tree.Find("/interrupt-controller@f9010000");
  CHECK(tree.ByPhandle(*gic->Cell("phandle")) == gic);
  CHECK_FALSE(tree.ByPhandle(0xdead).has_value());
  CHECK_FALSE(tree.ByPhandle(0).has_value());
  CHECK_FALSE(tree.ByPhandle(UINT32_MAX).has_value());
  CHECK(tree.ByPhandle(tree.LargestPhandle()).has_value());
  CHECK_FALSE(tree.ByPhandle(tree.LargestPhandle() + 1).has_value());
}

TEST_CASE("the interrupt parent is the nearest upwards") {
  const DeviceTree tree = Board();
  const auto gic = tree.Find("/interrupt-controller@f9010000");
  CHECK(InterruptParent(tree, *tree.Find("/axi/timer@ff120000")) == gic);
  CHECK(InterruptParent(tree, *tree.Find(kCan)) == gic);
  const DeviceTree corners(fakes::TreeBlob("corners"));
  CHECK(InterruptParent(corners, *corners.Find("/triggers-unknown")) == corners.Find("/provider"));
}

TEST_CASE("a tree without interrupt parents has none") {
  const DeviceTree tree(fakes::TreeBlob("clocks"));
  CHECK_FALSE(InterruptParent(tree, *tree.Find("/all")).has_value());
}

TEST_CASE("ReadReferences reads each entry with as many arguments as its target wants") {
  const DeviceTree tree(fakes::TreeBlob("broken-references"));
  const auto references = ReadReferences(tree, *tree.Find("/good"), "list", "#test-cells");
  REQUIRE(references.size() == 4);
  CHECK(references[0]->target.name() == "one");
  CHECK(references[0]->arguments == std::vector<std::uint32_t>{11});
  CHECK_FALSE(references[1].has_value());
  CHECK(references[2]->arguments == std::vector<std::uint32_t>{21, 22});
  CHECK(references[3]->target.name() == "none");
  CHECK(references[3]->arguments.empty());
}

TEST_CASE("ReadReferences says which node and property is wrong") {
  const DeviceTree tree(fakes::TreeBlob("broken-references"));
  const auto chain = [&](const std::string& node) {
    return ChainOf([&] { ReadReferences(tree, *tree.Find(node), "list", "#test-cells"); });
  };
  CHECK(chain("/dangling") == "/dangling: list: no node has phandle 0xbeef\n");
  CHECK(chain("/short") == "/short: list: the last entry is cut short\n");
  CHECK(chain("/absurd") == "/absurd: list: the last entry is cut short\n");
  CHECK(chain("/odd") == "/odd: list: not a list of cells\n");
  CHECK(chain("/empty").empty());
  CHECK(chain("/absent").empty());
}

TEST_CASE("a tree read from the kernel's folders equals the blob") {
  const fakes::HostTree host;
  const auto blob = fakes::TreeBlob("board");
  host.SetLiveTree(blob);
  const DeviceTree tree = DeviceTree::FromDirectory(host.root() / "sys/firmware/devicetree/base");
  const auto sorted = [](std::span<const std::byte> bytes) {
    // Folders have no order; dtc -s would lose properties' order too, so lines are compared.
    std::string source = fakes::RunDtc(bytes).source;
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < source.size();) {
      const std::size_t end = source.find('\n', at);
      lines.push_back(source.substr(at, end - at));
      at = end + 1;
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  };
  CHECK(sorted(tree.bytes()) == sorted(blob));
}

TEST_CASE("a folder that is not there is an error that names it") {
  CHECK(Contains(ChainOf([] { DeviceTree::FromDirectory("/nonexistent/base"); }),
                 "cannot read the device tree in /nonexistent/base\n"));
}

}  // namespace
}  // namespace microvm
