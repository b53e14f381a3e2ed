// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/ram_placement.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"

namespace microvm {
namespace {

using fakes::Contains;
using fakes::PlanInput;

// What each of some devices can be given, as start and size.
using Windows = std::vector<std::vector<std::pair<std::uint64_t, std::uint64_t>>>;

// A guest of 64 MiB with these devices.
struct RamGuest : PlanInput {
  explicit RamGuest(const Windows& windows) {
    config.memory.size_bytes = 64U << 20;
    for (const auto& ranges : windows) {
      DeviceFacts facts;
      facts.config.host = "device-" + std::to_string(devices.size());
      for (const auto& [start, size] : ranges) facts.mappable.push_back({{start}, size});
      devices.push_back(facts);
    }
  }
  [[nodiscard]] std::uint64_t Start() const {
    return PlaceRam(config, devices, limits, layout).front().start().value;
  }
  [[nodiscard]] std::string Complaint() const {
    return fakes::ChainOf([&] { return Start(); });
  }
};

TEST_CASE("RAM is where the layout has it if nothing speaks against it") {
  CHECK(RamGuest(Windows{}).Start() == 0x4000'0000);
  CHECK(RamGuest(Windows{{}}).Start() == 0x4000'0000);  // a host that does not tell
  CHECK(RamGuest({{{0, 0x1'0000'0000}}}).Start() == 0x4000'0000);
  // What SMMU drivers reserve for MSIs.
  CHECK(RamGuest({{{0, 0x800'0000}, {0x810'0000, 0x1'0000'0000}}}).Start() == 0x4000'0000);
  // RAM may end where the last range does.
  CHECK(RamGuest({{{0, 0x4400'0000}}}).Start() == 0x4000'0000);
}

TEST_CASE("RAM goes behind a window that it would meet, to a whole block") {
  CHECK(RamGuest({{{0, 0x43ff'f000}, {0x4410'0000, 0x1000'0000}}}).Start() == 0x4420'0000);
}

TEST_CASE("huge pages of RAM stay aligned") {
  RamGuest guest({{{0, 0x4100'0000}, {0x4200'0000, 0x1'0000'0000}}});
  guest.config.memory.hugepage_bytes = 1U << 30;
  CHECK(guest.Start() == 0x8000'0000);
}

TEST_CASE("RAM is where every device reaches it") {
  CHECK(RamGuest({{{0, 0x4000'0000}, {0x5000'0000, 0x1'0000'0000}}, {{0x6000'0000, 0x1000'0000}}})
            .Start() == 0x6000'0000);
}

TEST_CASE("no place for RAM names the device, what its IOMMU maps, and what to do") {
  const std::string complaint =
      RamGuest({{}, {{0, 0x4100'0000}, {0x4200'0000, 0x100'0000}}}).Complaint();
  CHECK(complaint ==
        "memory.size: there is no place for 64 MiB of RAM from 0x40000000 on that the IOMMU of "
        "'device-1' can map; it maps 0x0-0x40ffffff, 0x42000000-0x42ffffff\n"
        "to fix it:\n"
        "  make memory.size smaller; what is reserved: "
        "cat /sys/kernel/iommu_groups/*/reserved_regions\n");
}

TEST_CASE("a place beyond the guest's addresses is none") {
  RamGuest guest({{{0, 0x4000'0000}, {std::uint64_t{1} << 40, 0x1'0000'0000}}});
  guest.limits.ipa_bits = 40;
  CHECK(Contains(guest.Complaint(), "there is no place for 64 MiB of RAM"));
  guest.limits.ipa_bits = 41;
  CHECK(guest.Start() == std::uint64_t{1} << 40);
}

}  // namespace
}  // namespace microvm
