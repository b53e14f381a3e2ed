// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/vm_plan.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "arch/arm64/guest_tree.h"
#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/fdt_writer.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::PlanInput;

constexpr std::uint64_t kMegabyte = 1U << 20;
constexpr std::uint64_t kRam = 0x4000'0000;

std::string Complaint(const PlanInput& input) {
  return ChainOf([&] { return input.Make(); });
}

TEST_CASE("a guest without devices has RAM, a GIC, a console and nothing else") {
  const VmPlan plan = PlanInput().Make();
  CHECK(plan.ram == std::vector{AddressRange({kRam}, 128 * kMegabyte)});
  CHECK(plan.ipa_bits == 32);
  CHECK(plan.mpidrs == std::vector<std::uint64_t>{0});
  CHECK(plan.gic.distributor == AddressRange({0x800'0000}, 0x1'0000));
  CHECK(plan.gic.cpu_interfaces == AddressRange({0x1000'0000}, 0x2'0000));
  CHECK(plan.spi_count == 32);
  CHECK(plan.console == AddressRange({0x900'0000}, 0x1000));
  CHECK(plan.console_spi == Spi{0});
  CHECK(plan.devices.empty());
}

TEST_CASE("each device gets its own addresses, SPIs and triggers, in their order") {
  PlanInput input;
  input.devices = {fakes::CanFacts(), fakes::TimerFacts()};
  const VmPlan plan = input.Make();
  REQUIRE(plan.devices.size() == 2);
  const PlannedDevice& can = plan.devices[0];
  CHECK(can.host == "ff070000.canfd");
  CHECK(can.dma == DmaMode::kNone);
  CHECK(can.regions[0].guest == AddressRange({0x1400'0000}, 0x6000));
  CHECK(can.regions[0].mapped);
  CHECK(can.interrupts[0].spi == Spi{1});
  CHECK(can.interrupts[0].trigger == Trigger::kLevel);
  const PlannedDevice& timer = plan.devices[1];
  CHECK(timer.dma == DmaMode::kIommu);
  CHECK(timer.regions[0].guest == AddressRange({0x1401'0000}, 0x100));
  CHECK_FALSE(timer.regions[0].mapped);
  CHECK(timer.regions[1].guest == AddressRange({0x1402'0000}, 0x1000));
  CHECK(timer.interrupts[0].trigger == Trigger::kEdge);
  CHECK(timer.interrupts[1].spi == Spi{3});
}

TEST_CASE("no two regions share a page of the largest kind, and large ones start at a block") {
  PlanInput input;
  DeviceFacts facts = fakes::TimerFacts();
  facts.regions = {{0x100, false}, {0x40'0000, true}, {0x1000, true}, {0x20'0000, true}};
  input.devices = {facts};
  const VmPlan plan = input.Make();
  const auto& regions = plan.devices[0].regions;
  CHECK(regions[0].guest.start().value == 0x1400'0000);
  CHECK(regions[1].guest.start().value == 0x1420'0000);
  CHECK(regions[2].guest.start().value == 0x1401'0000);
  CHECK(regions[3].guest.start().value == 0x1460'0000);
}

TEST_CASE("a region too large for the window below RAM goes above it, and the guest grows") {
  PlanInput input;
  DeviceFacts facts = fakes::CanFacts();
  facts.regions = {{std::uint64_t{4} << 30, true}};
  input.devices = {facts};
  const VmPlan plan = input.Make();
  CHECK(plan.devices[0].regions[0].guest.start().value == kRam + 128 * kMegabyte);
  CHECK(plan.ipa_bits == 33);
}

TEST_CASE("the address space of a guest is as small as holds it, and never below 32 bits") {
  PlanInput input;
  input.config.memory.size_bytes = std::uint64_t{3} << 30;
  CHECK(input.Make().ipa_bits == 32);
  input.config.memory.size_bytes += 2 * kMegabyte;
  CHECK(input.Make().ipa_bits == 33);
}

TEST_CASE("memory beyond the host's address bits is refused, the last size within is not") {
  PlanInput input;
  input.limits.ipa_bits = 36;
  input.config.memory.size_bytes = (std::uint64_t{1} << 36) - kRam;
  CHECK(input.Make().ipa_bits == 36);
  input.config.memory.size_bytes += 2 * kMegabyte;
  CHECK(Complaint(input) ==
        "memory.size: this host gives a guest 36 address bits, which leave 64512 MiB for RAM\n"
        "to fix it:\n  make memory.size smaller\n");
}

TEST_CASE("memory that would wrap the address space is refused by the key's name") {
  PlanInput input;
  input.config.memory.size_bytes = UINT64_MAX - (2 * kMegabyte - 1);
  CHECK(Contains(Complaint(input), "memory.size: "));
}

TEST_CASE("a region that no window holds is refused by the device's name") {
  PlanInput input;
  input.limits.ipa_bits = 32;
  input.config.memory.size_bytes = std::uint64_t{3} << 30;
  DeviceFacts facts = fakes::CanFacts();
  facts.regions = {{std::uint64_t{1} << 30, true}};
  input.devices = {facts};
  CHECK(Complaint(input) ==
        "no room in the guest's address space for ff070000.canfd region 0 (0x40000000 bytes)\n");
}

TEST_CASE("more vCPUs than the host has are refused") {
  PlanInput input;
  input.config.cpu.count = 8;
  CHECK(Complaint(input).empty());
  input.config.cpu.count = 9;
  CHECK(Complaint(input) == "cpu.count: 9 vCPUs, but this host's KVM has 8 at most\n");
}

TEST_CASE("CPU features that the host lacks are refused, all of them") {
  PlanInput input;
  input.config.cpu.pmu = input.config.cpu.sve = input.config.cpu.pauth = true;
  CHECK(Complaint(input).empty());
  input.limits.pmu = input.limits.sve = input.limits.pauth = false;
  CHECK(Complaint(input) ==
        "cpu.features: this host cannot give a guest: pmu sve pauth\n"
        "to fix it:\n  remove it from cpu.features\n");
}

TEST_CASE("all conflicts are reported at once, with their remedies") {
  PlanInput input;
  input.config.cpu.count = 9;
  input.boot.initrd_bytes = 127 * kMegabyte;
  input.devices = {fakes::FactsOf(fakes::SharedTree("corners"), "/ref-dmas"),
                   fakes::FactsOf(fakes::SharedTree("corners"), "/ref-phys")};
  const std::string complaint = Complaint(input);
  CHECK(Contains(complaint, "cpu.count: 9 vCPUs"));
  CHECK(Contains(complaint, "the boot files do not fit"));
  CHECK(Contains(complaint, "/ref-dmas: the property 'dmas'"));
  CHECK(Contains(complaint, "/ref-phys: the property 'phys'"));
  CHECK(Contains(complaint, "make memory.size larger"));
  CHECK(Contains(complaint, "drop = [\"dmas\"]"));
  CHECK(Contains(complaint, "drop = [\"phys\"]"));
}

// A device with `count` interrupts.
DeviceFacts WithInterrupts(std::size_t count) {
  DeviceFacts facts = fakes::TimerFacts();
  facts.interrupts.assign(count, {true});
  return facts;
}

// The guest SPIs in the node's `interrupts`.
std::vector<std::uint32_t> SpisInNode(const PlannedDevice& device) {
  std::vector<std::uint32_t> spis;
  for (const PlannedProperty& property : device.node.properties) {
    if (property.name != "interrupts") continue;
    const auto cells = DtProperty{"interrupts", property.value}.Cells();
    for (std::size_t at = 1; at < cells->size(); at += 3) spis.push_back((*cells)[at]);
  }
  return spis;
}

TEST_CASE("a line that is listed twice is one SPI, which the node lists twice") {
  PlanInput input;
  input.devices = {fakes::MacFacts(), fakes::CanFacts()};
  const VmPlan plan = input.Make();
  const auto& interrupts = plan.devices[0].interrupts;
  REQUIRE(interrupts.size() == 2);
  CHECK(interrupts[0].spi == Spi{1});
  CHECK(interrupts[0].index == 0);
  CHECK_FALSE(interrupts[0].repeats);
  CHECK(interrupts[1].spi == Spi{1});
  CHECK(interrupts[1].index == 0);
  CHECK(interrupts[1].repeats);
  CHECK(SpisInNode(plan.devices[0]) == std::vector<std::uint32_t>{1, 1});
  CHECK(plan.devices[1].interrupts[0].spi == Spi{2});
  CHECK(Contains(FormatPlan(plan),
                 "# interrupt SPI 1 level\n# interrupt SPI 1 level, listed again\n"));
}

TEST_CASE("of a line that is listed twice either entry may be dropped") {
  for (const char* dropped : {"interrupts:0", "interrupts:queue1"}) {
    PlanInput input;
    input.devices = {fakes::MacFacts()};
    input.devices[0].config.drop = {dropped};
    const VmPlan plan = input.Make();
    // VFIO has the line as the first of the two.
    REQUIRE(plan.devices[0].interrupts.size() == 1);
    CHECK(plan.devices[0].interrupts[0].index == 0);
    CHECK_FALSE(plan.devices[0].interrupts[0].repeats);
  }
}

TEST_CASE("a line that is listed twice takes one SPI of the configuration") {
  PlanInput input;
  input.devices = {fakes::MacFacts()};
  input.devices[0].config.spis = {77};
  CHECK(SpisInNode(input.Make().devices[0]) == std::vector<std::uint32_t>{77, 77});
  input.devices[0].config.spis = {77, 78};
  CHECK(Contains(Complaint(input), "2 SPIs for 1 interrupts"));
}

TEST_CASE("a line that the host uses is refused with who has it, and may be dropped") {
  PlanInput input;
  DeviceFacts facts = fakes::TimerFacts();
  facts.interrupts[1].line_error = EBUSY;
  facts.interrupts[1].users = "uart-pl011, rtc";
  input.devices = {facts};
  const std::string complaint = Complaint(input);
  CHECK(Contains(complaint,
                 "'ff120000.timer': interrupt 1 is taken: its line has another user on the host: "
                 "uart-pl011, rtc\n"));
  CHECK(Contains(complaint, "drop = [\"interrupts:1\"]"));
  input.devices[0].interrupts[1].users = "";
  CHECK(Contains(Complaint(input), "another user on the host: see /proc/interrupts\n"));
  input.devices[0].interrupts[1].line_error = EINVAL;
  CHECK(Contains(Complaint(input), "a driver of the host has it, or had it, as an interrupt"));
  input.devices[0].config.drop = {"interrupts:1"};
  CHECK(input.Make().devices[0].interrupts.size() == 1);
}

TEST_CASE("a line that belongs to each CPU is told for what it is") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Cells("interrupt-parent", {1});
    fdt.Node("gic", [&] {
      fdt.String("compatible", "arm,gic-v3");
      fdt.Cells("#interrupt-cells", {3});
      fdt.Cells("phandle", {1});
    });
    fdt.Node("timer", [&] { fdt.Cells("interrupts", {1, 13, 4}); });
  });
  PlanInput input;
  input.devices = {fakes::FactsOf(std::make_shared<const DeviceTree>(fdt.Finish()), "/timer")};
  input.devices[0].interrupts = {{true, EINVAL}};
  CHECK(Contains(Complaint(input), "interrupt 0 belongs to each CPU (PPI): VFIO cannot take it"));
}

TEST_CASE("the vGIC has as many SPIs as are needed, in steps of 32") {
  PlanInput input;
  input.devices = {WithInterrupts(31)};
  CHECK(input.Make().spi_count == 32);
  input.devices = {WithInterrupts(32)};
  CHECK(input.Make().spi_count == 64);
}

TEST_CASE("more interrupts than KVM's GICv3 takes are refused") {
  PlanInput input;
  // KVM takes at most 1,023 interrupts in multiples of 32, of which 32 are no SPIs.
  input.devices = {WithInterrupts(959)};
  CHECK(input.Make().spi_count == 960);
  input.devices = {WithInterrupts(960)};
  CHECK(Contains(Complaint(input), "the devices have 961 interrupts, a guest's GIC has 960 SPIs"));
}

// A plan for the device of a tree whose bus has this phandle, which the device has a number of.
PlanInput WithHostPhandle(std::uint32_t phandle) {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("bus", [&] { fdt.Cells("phandle", {phandle}); });
    fdt.Node("device", [&] { fdt.Cells("acme,unheard-of", {phandle}); });
  });
  PlanInput input;
  input.devices = {fakes::FactsOf(std::make_shared<const DeviceTree>(fdt.Finish()), "/device")};
  return input;
}

TEST_CASE("a reference that no rule knows is no node of the guest's") {
  const PlanInput input = WithHostPhandle(4);
  const DeviceTree guest(BuildGuestTree(input.Make(), {}));
  CHECK(guest.Find("/device")->Cell("acme,unheard-of") == 4);
  CHECK_FALSE(guest.ByPhandle(4).has_value());
  CHECK(guest.ByPhandle(guest.root().Cell("interrupt-parent").value()).has_value());
}

TEST_CASE("a tree of the host's that leaves no phandles is an error") {
  CHECK(Complaint(WithHostPhandle(0x7fff'ffff)) == "");
  CHECK(Contains(Complaint(WithHostPhandle(0x8000'0000)), "/bus: phandle 0x80000000 leaves none"));
}

TEST_CASE("a device may refer to what is below another that is passed through") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("first", [&] {
      fdt.Node("mdio", [&] {
        fdt.Cells("#address-cells", {1});
        fdt.Cells("#size-cells", {0});
        fdt.Node("ethernet-phy@7", [&] {
          fdt.Cells("reg", {7});
          fdt.Cells("phandle", {5});
        });
      });
    });
    fdt.Node("second", [&] { fdt.Cells("phy-handle", {5}); });
  });
  const auto tree = std::make_shared<const DeviceTree>(fdt.Finish());
  PlanInput input;
  input.devices = {fakes::FactsOf(tree, "/second"), fakes::FactsOf(tree, "/first")};
  const DeviceTree guest(BuildGuestTree(input.Make(), {}));
  CHECK(guest.ByPhandle(guest.Find("/second")->Cell("phy-handle").value()) ==
        guest.Find("/first/mdio/ethernet-phy@7"));
}

TEST_CASE("MPIDRs count to sixteen in a cluster, then go on with the next") {
  CHECK(PredictMpidr(0) == 0);
  CHECK(PredictMpidr(15) == 15);
  CHECK(PredictMpidr(16) == 0x100);
  CHECK(PredictMpidr(511) == 0x1f0f);
  CHECK(PredictMpidr(4096) == 0x10000);
  PlanInput input;
  input.config.cpu.count = 3;
  CHECK(input.Make().mpidrs == std::vector<std::uint64_t>{0, 1, 2});
  CHECK(input.Make().gic.cpu_interfaces.size_bytes() == 3 * 0x2'0000);
}

}  // namespace
}  // namespace microvm
