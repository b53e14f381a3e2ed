// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "arch/arm64/guest_source.h"
#include "arch/arm64/guest_tree.h"
#include "tests/fakes/dtc.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/device_tree.h"
#include "vmm/fdt/fdt_writer.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;

// The plan for a guest with a CAN controller and overlays of tests/data/overlays.
VmPlan PlanWith(const std::vector<std::string>& overlays) {
  fakes::PlanInput input;
  input.devices = {fakes::CanFacts()};
  for (const std::string& name : overlays) {
    input.boot.overlays.push_back({name + ".dtbo", fakes::TreeBlob(name)});
  }
  return input.Make();
}

std::vector<std::byte> TreeWith(const std::vector<std::string>& overlays) {
  return BuildGuestTree(PlanWith(overlays), {});
}

TEST_CASE("golden tree: overlays, one of which adds to a device's node and to the root") {
  const fakes::Decompiled tree = fakes::RunDtc(TreeWith({"add", "again"}));
  CHECK(tree.warnings == "");
  CHECK(tree.source == fakes::Golden("guest-overlay.dts", tree.source));
}

TEST_CASE("the tree's source is the tree, and says where each property came from") {
  const VmPlan plan = PlanWith({"add", "again"});
  const std::string source = GuestTreeSource(plan);
  CHECK(fakes::RunDtc(fakes::CompileSource(source)).source ==
        fakes::RunDtc(BuildGuestTree(plan, {})).source);
  CHECK(source == fakes::Golden("guest-overlay-origins.dts", source));
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

// What merging an overlay complains about that adds what `body` writes to the node at `target`.
template <typename Body>
std::string Merged(const std::string& target, Body&& body) {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("fragment@0", [&] {
      fdt.String("target-path", target);
      fdt.Node("__overlay__", [&] { body(fdt); });
    });
  });
  fakes::PlanInput input;
  input.devices = {fakes::CanFacts()};
  input.boot.initrd_bytes = 4096;
  input.boot.overlays = {{"x.dtbo", fdt.Finish()}};
  return ChainOf([&] { BuildGuestTree(input.Make(), {}); });
}

TEST_CASE("an overlay's new node may not lie where something of the guest's is") {
  const auto at = [](const std::string& name, std::uint64_t start) {
    return Merged("/", [&](FdtWriter& fdt) {
      fdt.Node("bus", [&] {
        fdt.Cells("#address-cells", {2});
        fdt.Cells("#size-cells", {1});
        fdt.Flag("ranges");
        fdt.Node(name, [&] {
          fdt.Cells("reg", {0, 0x5000'0000, 4, static_cast<std::uint32_t>(start >> 32),
                            static_cast<std::uint32_t>(start), 0x1000});
        });
      });
    });
  };
  CHECK(at("new@9000000", 0x0900'0000) ==
        "overlay x.dtbo: /bus/new@9000000: reg: 0x9000000-0x9000fff is taken by /serial@9000000\n");
  CHECK(Contains(at("new@14005000", 0x1400'5000), "is taken by /canfd@14000000"));
  CHECK(Contains(at("new@40000000", 0x4000'0000), "is taken by /memory@40000000"));
  CHECK(at("new@14006000", 0x1400'6000).empty());
}

TEST_CASE("a new node's registers are where the buses above it say") {
  const auto at = [](std::uint32_t bus) {
    return Merged("/", [&](FdtWriter& fdt) {
      fdt.Node("bus", [&] {
        fdt.Cells("#address-cells", {1});
        fdt.Cells("#size-cells", {1});
        fdt.Cells("ranges", {0, 0, bus, 0x1000});
        fdt.Node("new@0", [&] { fdt.Cells("reg", {0, 0x100}); });
      });
    });
  };
  CHECK(at(0x4000'0000) ==
        "overlay x.dtbo: /bus/new@0: reg: 0x40000000-0x400000ff is taken by /memory@40000000\n");
  CHECK(at(0x5000'0000).empty());
}

TEST_CASE("an overlay with nodes without end is an error") {
  CHECK(Contains(Merged("/",
                        [](FdtWriter& fdt) {
                          for (int at = 0; at < 2048; ++at) {
                            fdt.Node("n" + std::to_string(at), [] {});
                          }
                        }),
                 "overlay x.dtbo: more than 2048 nodes"));
}

TEST_CASE("addresses of a new bus are as wide as those of the bus above, if it does not say") {
  CHECK(Merged("/",
               [](FdtWriter& fdt) {
                 fdt.Node("bus", [&] {
                   fdt.Cells("#address-cells", {1});
                   fdt.Cells("#size-cells", {1});
                   fdt.Flag("ranges");
                   fdt.Node("inner", [&] {
                     fdt.Flag("ranges");
                     fdt.Node("new@9000000", [&] { fdt.Cells("reg", {0x0900'0000, 0x1000}); });
                   });
                 });
               }) ==
        "overlay x.dtbo: /bus/inner/new@9000000: reg: 0x9000000-0x9000fff is taken by "
        "/serial@9000000\n");
}

TEST_CASE("two new nodes of one overlay may not be in each other's way") {
  const auto both = [](std::uint64_t start, std::uint32_t spi) {
    return Merged("/", [&](FdtWriter& fdt) {
      fdt.Node("first", [&] {
        fdt.Cells64("reg", {0x5000'0000, 0x2000});
        fdt.Cells("interrupts", {0, 40, 4});
      });
      fdt.Node("second", [&] {
        fdt.Cells64("reg", {start, 0x1000});
        fdt.Cells("interrupts", {0, spi, 4, 0, spi, 4});
      });
    });
  };
  // libfdt puts what is new in front.
  CHECK(both(0x5000'1000, 41) ==
        "overlay x.dtbo: /first: reg: 0x50000000-0x50001fff is taken by /second\n");
  CHECK(both(0x5000'2000, 40) ==
        "overlay x.dtbo: /first: interrupts: SPI 40 is taken by /second\n");
  CHECK(both(0x5000'2000, 41).empty());
}

TEST_CASE("a new node lies in the registers of the one that it is a part of") {
  CHECK(Merged("/", [](FdtWriter& fdt) {
          fdt.Node("whole", [&] {
            fdt.Cells("#address-cells", {2});
            fdt.Cells("#size-cells", {2});
            fdt.Flag("ranges");
            fdt.Cells64("reg", {0x5000'0000, 0x2000});
            fdt.Node("part", [&] { fdt.Cells64("reg", {0x5000'1000, 0x1000}); });
          });
        }).empty());
}

TEST_CASE("an overlay's reserved memory lies in RAM, and its addresses on a bus are no addresses") {
  const auto reserve = [](FdtWriter& fdt) {
    fdt.Node("reserved-memory", [&] {
      fdt.Cells("#address-cells", {2});
      fdt.Cells("#size-cells", {2});
      fdt.Flag("ranges");
      fdt.Node("pool@41000000", [&] { fdt.Cells64("reg", {0x4100'0000, 0x1000}); });
    });
    fdt.Node("mux", [&] {
      fdt.Cells("#address-cells", {1});
      fdt.Cells("#size-cells", {1});
      fdt.Node("part@9000000", [&] { fdt.Cells("reg", {0x0900'0000, 1}); });
    });
  };
  CHECK(Merged("/", reserve).empty());
}

TEST_CASE("an overlay's new node may not have an interrupt that something of the guest's has") {
  const auto with_spi = [](std::uint32_t spi) {
    return Merged("/", [&](FdtWriter& fdt) {
      fdt.Node("new", [&] { fdt.Cells("interrupts", {0, 40, 4, 0, spi, 4}); });
    });
  };
  CHECK(with_spi(1) == "overlay x.dtbo: /new: interrupts: SPI 1 is taken by /canfd@14000000\n");
  CHECK(with_spi(2).empty());
  const auto extended = [](const std::vector<std::uint32_t>& cells) {
    return Merged("/", [&](FdtWriter& fdt) {
      fdt.Node("new", [&] { fdt.Cells("interrupts-extended", cells); });
    });
  };
  const std::uint32_t gic = Number(PlanWith({}).host_phandles, Phandle::kGic);
  CHECK(extended({gic, 0, 1, 4}) ==
        "overlay x.dtbo: /new: interrupts: SPI 1 is taken by /canfd@14000000\n");
  CHECK(extended({gic, 1, 1, 4}).empty());  // a PPI
  CHECK(extended({gic, 0, 1}) ==
        "overlay x.dtbo\n  /new: interrupts-extended: the last entry is cut short\n");
}

TEST_CASE("an overlay adds no memory") {
  CHECK(Merged("/",
               [](FdtWriter& fdt) {
                 fdt.Node("memory@80000000", [&] {
                   fdt.String("device_type", "memory");
                   fdt.Cells64("reg", {0x8000'0000, 0x1000});
                 });
               }) ==
        "overlay x.dtbo: /memory@80000000: device_type: the guest's memory is decided by the "
        "plan\nto fix it:\n  memory.size says how much there is\n");
}

TEST_CASE("an overlay leaves alone what microvm says of the boot and of how nodes are read") {
  const auto set = [](const std::string& path, const std::string& property) {
    return Merged(path, [&](FdtWriter& fdt) { fdt.Cells(property, {99}); });
  };
  CHECK(set("/chosen", "linux,initrd-start") ==
        "overlay x.dtbo: /chosen: linux,initrd-start: is decided by the plan\n"
        "to fix it:\n  boot.initrd and boot.cmdline say how the guest is booted\n");
  for (const char* property : {"linux,initrd-end", "bootargs", "rng-seed", "kaslr-seed"}) {
    CAPTURE(property);
    CHECK(Contains(set("/chosen", property), std::string(property) + ": is decided by the plan"));
  }
  for (const char* property :
       {"#address-cells", "#size-cells", "interrupt-parent", "dma-coherent"}) {
    CAPTURE(property);
    CHECK(Contains(set("/", property), std::string(": ") + property + ": is decided by the plan"));
  }
  CHECK(Contains(set("/interrupt-controller@8000000", "#interrupt-cells"), "is decided by"));
  CHECK(Contains(set("/memory@40000000", "linux,usable-memory"), "is decided by the plan"));
  CHECK(Contains(set("/chosen", "linux,usable-memory-range"), "is decided by the plan"));
  CHECK(Contains(set("/canfd@14000000", "interrupt-parent"), "is decided by the plan"));
  CHECK(set("/canfd@14000000", "acme,new").empty());
  CHECK(Merged("/", [](FdtWriter& fdt) { fdt.Cells("#address-cells", {2}); }).empty());
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
