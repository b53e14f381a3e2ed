// SPDX-License-Identifier: Apache-2.0
// Guests whose RAM is at the host's addresses (dma = "identity").
#include <doctest/doctest.h>

#include <algorithm>

#include "arch/arm64/guest_tree.h"
#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/device_tree.h"
#include "vmm/plan/identity_check.h"
#include "vmm/plan/node_traits.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::PlanInput;

constexpr std::uint64_t kMiB = 1U << 20;

// A guest of the CAN controller, which does DMA here, with RAM at these addresses.
struct Guest : PlanInput {
  explicit Guest(std::vector<AddressRange> ram) {
    DeviceFacts facts = fakes::CanFacts();
    facts.config.dma = DmaMode::kIdentity;
    facts.no_iommu = true;
    facts.can_reset = true;
    facts.mappable = std::move(ram);
    config.memory.size_bytes = TotalBytes(facts.mappable);
    config.memory.identity_file = "/dev/hugepages/vm";
    devices.push_back(facts);
  }
  [[nodiscard]] std::string Complaint() const {
    return ChainOf([&] { return Make(); });
  }
};

TEST_CASE("RAM is where the host's is, and nothing else of the guest is there") {
  // In the way of distributor, console, redistributors and devices; room for the kernel in the
  // last.
  const std::vector<AddressRange> ram = {AddressRange({0x0800'0000}, 2 * kMiB),
                                         AddressRange({0x0900'0000}, 4 * kMiB),
                                         AddressRange({0x1000'0000}, 128 * kMiB)};
  const VmPlan plan = Guest(ram).Make();
  CHECK(plan.ram == ram);
  std::vector<AddressRange> others = {plan.gic.distributor, plan.gic.cpu_interfaces, plan.console};
  for (const PlannedRegion& region : plan.devices[0].regions) others.push_back(region.guest);
  for (const AddressRange& other : others) {
    CAPTURE(ToString(other));
    for (const AddressRange& part : ram) CHECK_FALSE(part.Overlaps(other));
    CHECK(std::count_if(others.begin(), others.end(),
                        [&](const AddressRange& another) { return another.Overlaps(other); }) == 1);
    // A kernel with pages of 64 KiB maps nothing else beside it.
    CHECK(other.start().value % 0x1'0000 == 0);
  }
}

TEST_CASE("what is not in the way of RAM stays where it always is") {
  const VmPlan plan =
      Guest({AddressRange({0x0900'0000}, 2 * kMiB), AddressRange({0x5000'0000}, 64 * kMiB)}).Make();
  CHECK(plan.gic.distributor.start().value == 0x0800'0000);
  CHECK(plan.gic.cpu_interfaces.start().value == 0x1000'0000);
  CHECK(plan.console.start().value != 0x0900'0000);
  const VmPlan usual = Guest({AddressRange({0x5000'0000}, 64 * kMiB)}).Make();
  CHECK(usual.console.start().value == 0x0900'0000);
  CHECK(usual.devices[0].regions[0].guest.start().value == 0x1400'0000);
}

TEST_CASE("each boot file is in one range of RAM, the first with room for it") {
  Guest guest({AddressRange({0x5000'0000}, 4 * kMiB), AddressRange({0x6000'0000}, 20 * kMiB),
               AddressRange({0x7000'0000}, 8 * kMiB)});
  guest.boot.kernel_memory_bytes = 18 * kMiB;
  guest.boot.initrd_bytes = 6 * kMiB;
  const PlannedBoot boot = guest.Make().boot;
  CHECK(boot.kernel.value == 0x6000'0000);
  CHECK(boot.fdt.start().value == 0x5000'0000);
  CHECK(boot.initrd == AddressRange({0x7000'0000}, 6 * kMiB));
  guest.boot.initrd_bytes = 9 * kMiB;
  CHECK(guest.Complaint() ==
        "the boot files do not fit in the guest's memory: 33 MiB are needed (kernel with its BSS "
        "18 MiB, initrd 9 MiB), memory.size is 32 MiB in 3 pieces, the largest of 20 MiB\n"
        "to fix it:\n"
        "  make memory.size larger, or have the host set huge pages aside while its memory is "
        "whole: hugepages=N on its kernel's command line\n");
}

TEST_CASE("no boot file is at address 0, which is a null pointer to a guest") {
  Guest guest({AddressRange({0}, 2 * kMiB), AddressRange({0x5000'0000}, 32 * kMiB)});
  guest.boot.kernel_memory_bytes = 2 * kMiB;
  const PlannedBoot boot = guest.Make().boot;
  CHECK(boot.kernel.value == 0x5000'0000);
  CHECK(boot.fdt.start().value == 0x5020'0000);
}

TEST_CASE("the guest's tree has one memory node with every range") {
  const VmPlan plan =
      Guest({AddressRange({0x5000'0000}, 32 * kMiB), AddressRange({0x8'0000'0000}, 2 * kMiB)})
          .Make();
  const DeviceTree tree(BuildGuestTree(plan, {}));
  const auto memory = tree.Find("/memory@50000000");
  REQUIRE(memory);
  CHECK(memory->Property("reg")->Cells() ==
        std::vector<std::uint32_t>{0, 0x5000'0000, 0, 0x200'0000, 8, 0, 0, 0x20'0000});
  CHECK(plan.ipa_bits == 36);
  const std::string text = FormatPlan(plan);
  CHECK(Contains(text, "# RAM 0x50000000-0x51ffffff\n# RAM 0x800000000-0x8001fffff\n"));
}

TEST_CASE("memory beyond the guest's addresses, or a device's IOMMU, is refused") {
  Guest guest({AddressRange({0x5000'0000}, 32 * kMiB), AddressRange({0x100'0000'0000}, 2 * kMiB)});
  guest.limits.ipa_bits = 40;
  CHECK(Contains(guest.Complaint(), "the host gave memory at 0x10000000000-0x100001fffff, beyond"));
  guest.limits.ipa_bits = 41;
  CHECK(guest.Complaint().empty());
  DeviceFacts behind = fakes::TimerFacts();
  behind.mappable = {AddressRange({0x4000'0000}, 0x4000'0000)};
  guest.devices.push_back(behind);
  CHECK(Contains(guest.Complaint(), "which the IOMMU of 'ff120000.timer' cannot map"));
}

TEST_CASE("a device that nobody can bring to rest is refused, unless that is known") {
  Guest guest({AddressRange({0x5000'0000}, 64 * kMiB)});
  guest.devices[0].can_reset = false;
  CHECK(Contains(guest.Complaint(),
                 "the kernel has no reset function for it and there is no recipe that writes"));
  CHECK(Contains(guest.Complaint(), "[[platform.recipe]]"));
  guest.devices[0].config.reset.policy = ResetPolicy::kNone;
  CHECK(guest.Complaint().empty());
  guest.devices[0].config.reset = {.policy = ResetPolicy::kOptional, .recipe = {ResetStep{}}};
  CHECK(Contains(guest.Complaint(), "no recipe that writes"));
  guest.devices[0].config.reset.recipe[0].action = ResetStep::Action::kWrite;
  CHECK(guest.Complaint().empty());
}

TEST_CASE("a device that sees memory elsewhere, or not all of it, needs an IOMMU") {
  const auto tree = fakes::SharedTree("dma-ranges");
  const auto complaint = [&](const std::string& node, std::uint64_t start) {
    DeviceFacts facts = fakes::FactsOf(tree, node);
    facts.config.dma = DmaMode::kIdentity;
    facts.can_reset = true;
    return ChainOf([&] { CheckIdentity(facts, {AddressRange({start}, 2 * kMiB)}); });
  };
  CHECK(complaint("/plain/device@0", 0x5000'0000).empty());
  CHECK(complaint("/low/inner/device@0", 0x3fe0'0000).empty());
  CHECK(complaint("/low/inner/device@0", 0x3ff0'0000) ==
        "'0.device': dma = \"identity\": /low: its dma-ranges leave out the host's memory at "
        "0x3ff00000-0x400fffff, which is the guest's\n"
        "to fix it:\n  this device needs an IOMMU\n");
  CHECK(Contains(complaint("/moved/device@0", 0x1000'0000),
                 "/moved: its dma-ranges give memory other addresses than the CPUs have"));
  CHECK(Contains(complaint("/apart/device@0", 0x1000'0000),
                 "/moved: its dma-ranges give memory other addresses than the CPUs have"));
  CHECK_FALSE(FindDmaCoherence(*tree, tree->Find("/apart/device@0").value()));
  CHECK(Contains(complaint("/odd/device@0", 0x1000'0000), "not understood"));
  CHECK(Contains(complaint("/huge/device@0", 0x1000'0000), "not understood"));
}

}  // namespace
}  // namespace microvm
