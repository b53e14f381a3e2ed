// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/address_cells.h"

#include <doctest/doctest.h>

#include <functional>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/fdt_writer.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;

// What is said of a device with these properties and nodes below it.
std::string Complaint(const std::function<void(FdtWriter&)>& content) {
  FdtWriter fdt;
  fdt.Node("", [&] { fdt.Node("device", [&] { content(fdt); }); });
  const auto tree = std::make_shared<const DeviceTree>(fdt.Finish());
  return ChainOf([&] { fakes::MadeAlone(fakes::FactsOf(tree, "/device")); });
}

TEST_CASE("a number of cells that no kernel takes is refused, wherever it is") {
  CHECK(Contains(Complaint([](FdtWriter& fdt) { fdt.Cells("#address-cells", {UINT32_MAX}); }),
                 "/device: the property '#address-cells' is no number of cells"));
  CHECK(Contains(Complaint([](FdtWriter& fdt) {
                   fdt.Cells("#size-cells", {1, 1});
                 }),
                 "/device: the property '#size-cells' is no number of cells"));
  CHECK(Contains(
      Complaint([](FdtWriter& fdt) { fdt.Node("below", [&] { fdt.Cells("#size-cells", {5}); }); }),
      "drop = [\"below/#size-cells\"]"));
  CHECK(Complaint([](FdtWriter& fdt) { fdt.Cells("#address-cells", {4}); }) == "");
}

TEST_CASE("addresses of a node below that are cut short are refused") {
  const auto complaint = [](const std::vector<std::uint32_t>& reg) {
    return Complaint([&](FdtWriter& fdt) {
      fdt.Cells("#address-cells", {1});
      fdt.Cells("#size-cells", {1});
      fdt.Node("below", [&] { fdt.Cells("reg", reg); });
    });
  };
  CHECK(Contains(
      complaint({1, 2, 3}),
      "/device/below: the property 'reg' has 12 bytes, which are no addresses of 2 cells"));
  CHECK(complaint({1, 2, 3, 4}) == "");
}

}  // namespace
}  // namespace microvm
