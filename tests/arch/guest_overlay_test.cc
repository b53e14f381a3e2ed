// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "arch/arm64/guest_tree.h"
#include "tests/fakes/dtc.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/device_tree.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;

// The tree of a guest with a CAN controller and overlays of tests/data/overlays.
std::vector<std::byte> TreeWith(const std::vector<std::string>& overlays) {
  fakes::PlanInput input;
  input.devices = {fakes::CanFacts()};
  for (const std::string& name : overlays) {
    input.boot.overlays.push_back({name + ".dtbo", fakes::TreeBlob(name)});
  }
  return BuildGuestTree(input.Make(), {});
}

TEST_CASE("golden tree: overlays, one of which adds to a device's node and to the root") {
  const fakes::Decompiled tree = fakes::RunDtc(TreeWith({"add", "again"}));
  CHECK(tree.warnings == "");
  CHECK(tree.source == fakes::DataFile("guest-overlay.dts"));
}

TEST_CASE("a label that the guest's tree does not have is an error with those it has") {
  CHECK(ChainOf([] { TreeWith({"unknown-label"}); }) ==
        "overlay unknown-label.dtbo: /fragment@0/__overlay__: the guest's tree has no label "
        "'canfd_9'\n"
        "to fix it:\n  its labels are: gic, uart0, canfd_ff070000\n");
}

TEST_CASE("a path that the guest's tree does not have is an error") {
  CHECK(ChainOf([] { TreeWith({"unknown-path"}); }) ==
        "overlay unknown-path.dtbo: /fragment@0: its target /nowhere is no node of the guest's "
        "tree\n");
}

TEST_CASE("an overlay cannot move what the plan has placed") {
  CHECK(Contains(ChainOf([] { TreeWith({"decided"}); }),
                 "overlay decided.dtbo: /serial@9000000: reg: is decided by the plan\n"));
}

TEST_CASE("two overlays that disagree are an error, two that agree are not") {
  CHECK(ChainOf([] {
          TreeWith({"add", "clash"});
        }) ==
        "overlay clash.dtbo: /canfd@14000000: acme,bus-speed: has another value in overlay "
        "add.dtbo\n");
  CHECK(ChainOf([] { TreeWith({"add", "again"}); }).empty());
}

TEST_CASE("a file that is no overlay is an error with its name") {
  fakes::PlanInput input;
  input.boot.overlays = {{"torn.dtbo", std::vector<std::byte>(100)}};
  CHECK(ChainOf([&] { BuildGuestTree(input.Make(), {}); }) ==
        "overlay torn.dtbo\n  not a device tree: FDT_ERR_BADMAGIC\n"
        "to fix it:\n  give [boot] overlay what dtc makes of a source with /plugin/\n");
  input.boot.overlays = {{"board.dtbo", fakes::TreeBlob("board")}};
  CHECK(ChainOf([&] { BuildGuestTree(input.Make(), {}); }) ==
        "overlay board.dtbo: it has no fragment\n"
        "to fix it:\n  give [boot] overlay what dtc makes of a source with /plugin/\n");
}

TEST_CASE("an overlay larger than the room for the tree is an error") {
  fakes::PlanInput input;
  input.devices = {fakes::CanFacts()};
  input.layout.fdt_bytes_maximum = 2048;
  input.boot.overlays = {{"add.dtbo", fakes::TreeBlob("add")}};
  CHECK(Contains(ChainOf([&] { BuildGuestTree(input.Make(), {}); }), "Linux takes 2048 at most"));
}

}  // namespace
}  // namespace microvm
