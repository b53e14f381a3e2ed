// SPDX-License-Identifier: Apache-2.0
// Whatever is wrong with a tree: an Error, or inspections that each have a reason.
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/inspect/format.h"
#include "vmm/inspect/inspect.h"

namespace microvm {
namespace {

using Blob = std::vector<std::byte>;

// Inspects every node; gives the number of them, 0 if the blob is no tree.
std::size_t InspectAll(Blob blob) {
  std::shared_ptr<const DeviceTree> tree;
  try {
    tree = std::make_shared<const DeviceTree>(std::move(blob));
  } catch (const Error&) {
    return 0;
  }
  const HostIndex index(tree);
  const std::vector<DtNode> nodes = tree->AllNodes();
  for (const DtNode& node : nodes) {
    const Inspection inspection = Inspect(index, node, {});
    CHECK_FALSE(inspection.reasons.empty());
    CHECK_FALSE(FormatText(inspection).empty());
    CHECK_FALSE(FormatJson(inspection).empty());
  }
  return nodes.size();
}

TEST_CASE("every node of a sound tree is inspected") {
  CHECK(InspectAll(fakes::TreeBlob("inspect")) == 52);
  CHECK(InspectAll(fakes::TreeBlob("corners")) > 30);
}

TEST_CASE("no random damage crashes an inspection, or leaves it without a reason") {
  std::mt19937 random(20260102);  // always the same trees
  const Blob whole = fakes::TreeBlob("inspect");
  std::size_t inspected = 0;
  for (int round = 0; round < 60; ++round) {
    Blob blob = whole;
    const unsigned flips = 1 + random() % 8;
    for (unsigned flip = 0; flip < flips; ++flip) {
      blob[random() % blob.size()] = static_cast<std::byte>(random());
    }
    inspected += InspectAll(std::move(blob));
  }
  CHECK(inspected > 300);
}

TEST_CASE("a tree deeper than Linux reads is an Error that names the place") {
  const auto nested = [](int depth) {
    FdtWriter fdt;
    const auto nest = [&](auto&& self, int left) -> void {
      if (left > 0) fdt.Node("n", [&] { self(self, left - 1); });
    };
    fdt.Node("", [&] { nest(nest, depth); });
    return fdt.Finish();
  };
  CHECK(InspectAll(nested(63)) == 64);
  const std::string complaint = fakes::ChainOf([&] { DeviceTree tree(nested(64)); });
  CHECK(complaint.starts_with("not a device tree: /n/n/n/"));
  CHECK(complaint.ends_with("/n: nodes are more than 64 deep\n"));
}

TEST_CASE("a thousand nodes in one page are each inspected in time that does not explode") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Cells("#address-cells", {1});
    fdt.Cells("#size-cells", {1});
    for (std::uint32_t at = 0; at < 1000; ++at) {
      fdt.Node(UnitName("d", at), [&] {
        fdt.String("compatible", "acme,d");
        fdt.Cells("reg", {at, 1});
      });
    }
  });
  CHECK(InspectAll(fdt.Finish()) == 1001);
}

}  // namespace
}  // namespace microvm
