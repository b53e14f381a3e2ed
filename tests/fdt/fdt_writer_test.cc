// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/fdt_writer.h"

#include <doctest/doctest.h>

#include <array>

#include "tests/fakes/dtc.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/fdt/device_tree.h"

namespace microvm {
namespace {

// A tree with one property of each kind.
std::vector<std::byte> TreeOfEveryKind() {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Cells("#address-cells", {2});
    fdt.Cells("#size-cells", {2});
    fdt.String("model", "a model");
    fdt.Strings("compatible", {"acme,first", "acme,second"});
    fdt.Node(UnitName("memory", 0x1'4000'0000), [&] {
      fdt.String("device_type", "memory");
      fdt.Cells64("reg", {0x1'4000'0000, 0x8000'0000});
      fdt.Flag("acme,empty");
    });
    fdt.Node("other", [&] {
      const std::array bytes = {std::byte{0}, std::byte{0xff}, std::byte{0x10}};
      fdt.Bytes("acme,bytes", bytes);
      fdt.Cells("acme,cells", {0, 1, 0xffffffff});
      fdt.Node("inner", [&] { fdt.String("acme,text", ""); });
    });
  });
  return fdt.Finish();
}

TEST_CASE("FdtWriter's tree is what dtc reads from it") {
  const fakes::Decompiled tree = fakes::RunDtc(TreeOfEveryKind());
  CHECK(tree.source == fakes::Golden("every-kind.dts", tree.source));
  CHECK(tree.warnings.empty());
}

TEST_CASE("FdtWriter's buffer grows with the tree") {
  FdtWriter fdt;
  const std::vector<std::byte> large(100'000, std::byte{0x5a});
  fdt.Node("", [&] {
    fdt.Bytes("large", large);
    for (int index = 0; index < 500; ++index) {
      fdt.Node("node" + std::to_string(index),
               [&] { fdt.Cells("number", {static_cast<std::uint32_t>(index)}); });
    }
  });
  const DeviceTree tree(fdt.Finish());
  CHECK(tree.root().children().size() == 500);
  CHECK(tree.Find("/node499")->Cell("number") == 499U);
  REQUIRE(tree.root().Property("large").has_value());
  CHECK(tree.root().Property("large")->value.size() == large.size());
}

TEST_CASE("FdtWriter's blob is as long as it says, at every size near a buffer's end") {
  for (std::size_t length = 3900; length < 4100; ++length) {
    FdtWriter fdt;
    fdt.Node("", [&] { fdt.Bytes("p", std::vector<std::byte>(length)); });
    const DeviceTree tree(fdt.Finish());
    REQUIRE(tree.root().Property("p")->value.size() == length);
  }
}

TEST_CASE("FdtWriter refuses a tree that no machine has, naming the property") {
  FdtWriter fdt;
  const std::string chain = fakes::ChainOf([&] {
    fdt.Node("", [&] { fdt.Bytes("endless", std::vector<std::byte>(std::size_t{17} << 20)); });
  });
  CHECK(chain == "device tree: endless: FDT_ERR_NOSPACE\n");
}

TEST_CASE("unit addresses are hexadecimal without a prefix") {
  CHECK(UnitName("can", 0xff070000) == "can@ff070000");
  CHECK(UnitName("cpu", 0) == "cpu@0");
}

}  // namespace
}  // namespace microvm
