// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/overlay.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "vmm/fdt/fdt_writer.h"

namespace microvm {
namespace {

std::vector<std::byte> TreeWithLabel() {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("device", [&] { fdt.Cells("phandle", {1}); });
    fdt.Node("__symbols__", [&] { fdt.String("label", "/device"); });
  });
  return fdt.Finish();
}

// What merging an overlay complains about whose `user` has one cell, and whose fixups are these.
std::string WithFixups(const std::string& use, std::uint32_t local_offset) {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("fragment@0", [&] {
      fdt.String("target-path", "/device");
      fdt.Node("__overlay__", [&] { fdt.Cells("user", {0xffff'ffff}); });
    });
    fdt.Node("__fixups__", [&] { fdt.String("label", use); });
    fdt.Node("__local_fixups__", [&] {
      fdt.Node("fragment@0",
               [&] { fdt.Node("__overlay__", [&] { fdt.Cells("user", {local_offset}); }); });
    });
  });
  return fakes::ChainOf([&] { OverlayMerger().Merge(TreeWithLabel(), "x.dtbo", fdt.Finish()); });
}

TEST_CASE("fixups of cells that there are do what they are for") {
  CHECK(WithFixups("/fragment@0/__overlay__:user:0", 0) == "");
}

TEST_CASE("fixups of cells that there are not are an error with the place") {
  const std::string complaint =
      "overlay x.dtbo: /fragment@0/__overlay__: user: its fixups name a cell that it does not "
      "have\n"
      "to fix it:\n  make it with dtc -@\n";
  for (const char* offset : {"1", "4", "4294967294", "4294967296", "-4", "", "x"}) {
    CAPTURE(offset);
    CHECK(WithFixups(std::string("/fragment@0/__overlay__:user:") + offset, 0) == complaint);
  }
  for (const std::uint32_t offset : {1U, 4U, 0x5d00'0000U, 0xffff'fffeU}) {
    CAPTURE(offset);
    CHECK(WithFixups("/fragment@0/__overlay__:user:0", offset) == complaint);
  }
  for (const char* use : {"", ":", "/fragment@0", "/fragment@0:target", "/nowhere:user:0",
                          "/fragment@0/__overlay__:other:0", "/fragment@0/__overlay__::0"}) {
    CAPTURE(use);
    CHECK(fakes::Contains(WithFixups(use, 0), "its fixups name a cell that it does not have"));
  }
}

}  // namespace
}  // namespace microvm
