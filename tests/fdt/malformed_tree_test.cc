// SPDX-License-Identifier: Apache-2.0
// A host's tree is input: whatever is wrong with it gives an Error, or a tree that can be walked.
#include <doctest/doctest.h>
#include <libfdt.h>

#include <memory>
#include <random>
#include <string>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/fdt/device_tree.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/fdt/references.h"
#include "vmm/host/error.h"
#include "vmm/passthrough/host_clocks.h"
#include "vmm/plan/device_node.h"
#include "vmm/plan/host_interrupts.h"

namespace microvm {
namespace {

using Blob = std::vector<std::byte>;

void Ignore(const std::exception& /*error*/) {}

// The node as a guest would get it, or an Error that names a node.
void MakeGuestNode(const DeviceTree& tree, const DtNode& node) {
  DeviceFacts facts;
  facts.tree = std::shared_ptr<const DeviceTree>(std::shared_ptr<void>(), &tree);
  facts.node_path = node.path();
  std::uint32_t phandle = 1;
  PlannedDevice device{};
  try {
    References(tree, node);
    MakeDeviceNode(facts, device, phandle);
    CHECK_FALSE(device.node.name.size() > node.name().size());
  } catch (const Error& error) {
    CHECK(std::string(error.what()).starts_with("/"));
  }
}

// Reads everything there is of a node and those below it; Errors are an answer too.
void Walk(const DeviceTree& tree, const DtNode& node) {
  // No path leads to a node that damage has given such a name.
  const bool is_root = !node.parent().has_value();
  if (node.name().find('/') != std::string_view::npos || node.name().empty() != is_root) return;
  CHECK(tree.Find(node.path()).has_value());
  for (const DtProperty& property : node.properties()) {
    CHECK(node.Property(property.name).has_value());
    for (const std::string& text : property.Strings()) CHECK(text.size() < property.value.size());
    if (const auto cells = property.Cells()) CHECK(cells->size() * 4 == property.value.size());
  }
  CHECK((node.IsEnabled() || node.Property("status").has_value()));
  InterruptParent(tree, node);
  try {
    FirstOfEachLine(HostInterrupts(tree, node), 4);
    ReadClocks(tree, node, "/nonexistent");
  } catch (const Error& error) {
    Ignore(error);
  }
  MakeGuestNode(tree, node);
  for (const DtNode& child : node.children()) Walk(tree, child);
}

// True if the blob was taken for a tree.
bool Survives(Blob blob) {
  try {
    const DeviceTree tree(std::move(blob));
    Walk(tree, tree.root());
    return true;
  } catch (const Error& error) {
    Ignore(error);
    return false;
  }
}

TEST_CASE("an undamaged tree survives the walk that the damaged ones are sent on") {
  CHECK(Survives(fakes::TreeBlob("board")));
  CHECK(Survives(fakes::TreeBlob("clocks")));
  CHECK(Survives(fakes::TreeBlob("corners")));
  CHECK(Survives(fakes::TreeBlob("references")));
  CHECK(Survives(fakes::TreeBlob("suppliers")));
}

TEST_CASE("a tree cut short at any length is an Error") {
  const Blob whole = fakes::TreeBlob("board");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(Survives(Blob(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))));
  }
}

TEST_CASE("bytes behind the end of a tree do no harm") {
  Blob blob = fakes::TreeBlob("board");
  blob.resize(blob.size() + 100, std::byte{0xee});
  CHECK(Survives(std::move(blob)));
}

TEST_CASE(
    "a tree of a version that Linux does not take is an Error, whatever its first node is called") {
  Blob blob = fakes::TreeBlob("board");
  fdt_set_version(blob.data(), 15);
  CHECK(fakes::ChainOf([&] { DeviceTree tree(std::move(blob)); }) ==
        "not a device tree: its version is older than 16\n");
}

// A root with one property, whose length in the blob is this.
std::string WithLength(std::uint32_t length) {
  FdtWriter fdt;
  fdt.Node("", [&] { fdt.Cells("property", {1}); });
  Blob blob = fdt.Finish();
  // Behind the root's token and name, and the property's token.
  const auto place = static_cast<std::size_t>(fdt_off_dt_struct(blob.data())) + 12;
  REQUIRE(fdt32_ld(reinterpret_cast<const fdt32_t*>(&blob[place])) == 4);
  fdt32_st(&blob[place], length);
  return fakes::ChainOf([&] { DeviceTree tree(std::move(blob)); });
}

TEST_CASE("a length that leads out of the tree, or back, is an Error") {
  CHECK(WithLength(4) == "");
  for (const std::uint32_t length : {16U, 0x7fff'fff0U, 0x8000'0000U, 0xffff'fff8U, 0xffff'fffdU}) {
    CAPTURE(length);
    CHECK(WithLength(length) == "not a device tree: byte 8 of its structure is wrong\n");
  }
}

TEST_CASE("a tree without a node is an Error") {
  FdtWriter fdt;
  fdt.Node("", [] {});
  Blob blob = fdt.Finish();
  // The root's token, its name, its end.
  const auto place = static_cast<std::size_t>(fdt_off_dt_struct(blob.data()));
  for (std::size_t token = 0; token < 3; ++token) fdt32_st(&blob[place + 4 * token], FDT_NOP);
  CHECK(fakes::ChainOf([&] { DeviceTree tree(std::move(blob)); }) ==
        "not a device tree: it has no root node\n");
}

TEST_CASE("what is no tree at all is an Error that says so") {
  const auto chain = [](std::size_t length, std::byte fill) {
    return fakes::ChainOf([&] { DeviceTree tree(Blob(length, fill)); });
  };
  CHECK(chain(0, std::byte{0}) == "not a device tree: too short\n");
  CHECK(chain(39, std::byte{0xd0}) == "not a device tree: too short\n");
  CHECK(chain(4096, std::byte{0}) == "not a device tree: FDT_ERR_BADMAGIC\n");
  CHECK(fakes::Contains(chain(4096, std::byte{0xff}), "not a device tree: "));
}

// A tree of `depth` nodes below the root, each in the one before.
Blob Nested(int depth) {
  FdtWriter fdt;
  const auto nest = [&](auto&& self, int left) -> void {
    if (left > 0) fdt.Node("n", [&] { self(self, left - 1); });
  };
  fdt.Node("", [&] { nest(nest, depth); });
  return fdt.Finish();
}

TEST_CASE("a tree nested deeper than Linux takes is an Error, not a stack overflow") {
  CHECK(Survives(Nested(63)));
  CHECK_FALSE(Survives(Nested(64)));
  CHECK(fakes::Contains(fakes::ChainOf([] { DeviceTree tree(Nested(1000)); }),
                        "/n/n/n: nodes are more than 64 deep\n"));
}

TEST_CASE("no flipped bit of the header crashes the reader") {
  const Blob whole = fakes::TreeBlob("board");
  for (std::size_t at = 0; at < 40; ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Blob blob = whole;
      blob[at] ^= static_cast<std::byte>(1U << bit);
      Survives(std::move(blob));
    }
  }
}

TEST_CASE("no random damage crashes the reader") {
  std::mt19937 random(20260101);  // always the same trees
  for (const char* name : {"board", "clocks", "corners", "references", "suppliers"}) {
    const Blob whole = fakes::TreeBlob(name);
    for (int round = 0; round < 300; ++round) {
      Blob blob = whole;
      const unsigned flips = 1 + random() % 8;
      for (unsigned flip = 0; flip < flips; ++flip) {
        blob[random() % blob.size()] = static_cast<std::byte>(random());
      }
      Survives(std::move(blob));
    }
  }
}

}  // namespace
}  // namespace microvm
