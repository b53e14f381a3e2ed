// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/access_windows.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;

constexpr auto kAllow = WindowAccess::kAllow;
constexpr auto kReadOnly = WindowAccess::kReadOnly;
constexpr auto kDeny = WindowAccess::kDeny;

std::vector<std::byte> BigEndian(const std::vector<std::uint32_t>& cells) {
  std::vector<std::byte> bytes;
  for (const std::uint32_t cell : cells) {
    for (const unsigned shift : {24U, 16U, 8U, 0U}) {
      bytes.push_back(static_cast<std::byte>(cell >> shift));
    }
  }
  return bytes;
}

// The CAN controller, one region of 0x6000 bytes that can be mapped, with windows.
DeviceFacts Facts(const std::vector<WindowConfig>& windows) {
  DeviceFacts facts = fakes::CanFacts();
  facts.config.windows = windows;
  return facts;
}

PlannedRegion Planned(const DeviceFacts& facts) {
  fakes::PlanInput input;
  input.devices = {facts};
  return input.Make().devices[0].regions[0];
}

std::string Parts(const PlannedRegion& region) {
  std::string text;
  for (const RegionPart& part : PartsOf(region)) {
    text += Hex(part.offset) + "+" + Hex(part.size_bytes) + (part.mapped ? " mapped" : " trapped") +
            "\n";
  }
  return text;
}

TEST_CASE("without windows a region is one part, and everything is allowed") {
  CHECK(Parts(Planned(Facts({}))) == "0x0+0x6000 mapped\n");
  DeviceFacts small = Facts({});
  small.regions = {{0x50, false}};
  CHECK(Parts(Planned(small)) == "0x0+0x50 trapped\n");
  CHECK(IsAllowed({}, 0, 8, true));
}

TEST_CASE("a window of a mapped region is trapped with its pages, and all else stays mapped") {
  CHECK(Parts(Planned(Facts({{.offset = 0x1010, .size_bytes = 4, .access = kDeny}}))) ==
        "0x0+0x1000 mapped\n0x1000+0x1000 trapped\n0x2000+0x4000 mapped\n");
  CHECK(Parts(Planned(Facts({{.offset = 0, .size_bytes = 1, .access = kReadOnly},
                             {.offset = 0x4ffc, .size_bytes = 8, .access = kDeny}}))) ==
        "0x0+0x1000 trapped\n0x1000+0x3000 mapped\n0x4000+0x2000 trapped\n");
  // Pages that touch are one part.
  CHECK(Parts(Planned(Facts({{.offset = 0x1000, .size_bytes = 4, .access = kDeny},
                             {.offset = 0x2ffc, .size_bytes = 4, .access = kDeny}}))) ==
        "0x0+0x1000 mapped\n0x1000+0x2000 trapped\n0x3000+0x3000 mapped\n");
}

TEST_CASE("windows are trapped with the host's pages, whatever their size") {
  DeviceFacts facts = Facts({{.offset = 0x1010, .size_bytes = 4, .access = kDeny}});
  facts.regions = {{0x4'0000, true}};
  facts.page_bytes = 0x1'0000;
  CHECK(Parts(Planned(facts)) == "0x0+0x10000 trapped\n0x10000+0x30000 mapped\n");
}

TEST_CASE("the rest of a region may be denied: what is allowed in whole pages stays mapped") {
  CHECK(Parts(Planned(Facts(
            {{.access = kDeny}, {.offset = 0x1000, .size_bytes = 0x2000, .access = kAllow}}))) ==
        "0x0+0x1000 trapped\n0x1000+0x2000 mapped\n0x3000+0x3000 trapped\n");
  const PlannedRegion none = Planned(Facts({{.access = kReadOnly}}));
  CHECK_FALSE(none.mapped);
  CHECK(Parts(none) == "0x0+0x6000 trapped\n");
}

TEST_CASE("windows that allow everything change nothing") {
  const PlannedRegion region =
      Planned(Facts({{.access = kAllow}, {.offset = 8, .size_bytes = 8, .access = kAllow}}));
  CHECK(region.windows.empty());
  CHECK(Parts(region) == "0x0+0x6000 mapped\n");
}

TEST_CASE("an access is allowed if all of its bytes are") {
  const auto windows =
      WindowsOfRegion(Facts({{.offset = 0x10, .size_bytes = 4, .access = kDeny},
                             {.offset = 0x20, .size_bytes = 8, .access = kReadOnly}}),
                      0);
  CHECK(IsAllowed(windows, 0x0c, 4, true));
  CHECK_FALSE(IsAllowed(windows, 0x0c, 8, false));  // reaches into the denied register
  CHECK_FALSE(IsAllowed(windows, 0x10, 1, false));
  CHECK_FALSE(IsAllowed(windows, 0x13, 1, true));
  CHECK(IsAllowed(windows, 0x14, 4, true));
  CHECK(IsAllowed(windows, 0x20, 8, false));
  CHECK_FALSE(IsAllowed(windows, 0x27, 1, true));
  CHECK_FALSE(IsAllowed(windows, 0x1e, 4, true));
  CHECK(IsAllowed(windows, 0x28, 8, true));
  CHECK(IsAllowed(windows, 0x5ff8, 8, true));
}

// What is true of every set of windows, however it lies to the pages.
TEST_CASE("of any windows: no byte that is not allowed is mapped, and each answer is its bytes'") {
  std::mt19937 random(1);  // NOLINT(cert-msc32-c, cert-msc51-cpp): the same sets in each run
  for (int round = 0; round < 100; ++round) {
    constexpr std::uint64_t kRegionBytes = 0x6000;
    std::vector<WindowConfig> windows = {{.access = static_cast<WindowAccess>(random() % 3)}};
    std::vector<WindowAccess> byte_access(kRegionBytes, windows[0].access);
    for (std::uint64_t at = random() % 0x800; at < kRegionBytes;) {
      const std::uint64_t size = std::min<std::uint64_t>(1 + random() % 0x1800, kRegionBytes - at);
      const auto access = static_cast<WindowAccess>(random() % 3);
      windows.push_back({.offset = at, .size_bytes = size, .access = access});
      for (std::uint64_t byte = at; byte < at + size; ++byte) byte_access[byte] = access;
      at += size + random() % 0x2000;
    }
    const PlannedRegion region = Planned(Facts(windows));
    std::uint64_t next = 0;
    for (const RegionPart& part : PartsOf(region)) {
      REQUIRE(part.offset == next);
      next += part.size_bytes;
      if (!part.mapped) continue;
      REQUIRE(part.offset % 4096 == 0);
      const auto start = byte_access.begin() + static_cast<std::ptrdiff_t>(part.offset);
      const auto size = static_cast<std::ptrdiff_t>(part.size_bytes);
      REQUIRE(std::count(start, start + size, kAllow) == size);
    }
    REQUIRE(next == kRegionBytes);
    for (int access = 0; access < 200; ++access) {
      const std::size_t size = std::size_t{1} << random() % 4;
      const std::uint64_t offset = random() % (kRegionBytes - size + 1);
      bool reads = true;
      bool writes = true;
      for (std::uint64_t byte = offset; byte < offset + size; ++byte) {
        reads = reads && byte_access[byte] != kDeny;
        writes = writes && byte_access[byte] == kAllow;
      }
      REQUIRE(IsAllowed(region.windows, offset, size, false) == reads);
      REQUIRE(IsAllowed(region.windows, offset, size, true) == writes);
    }
  }
}

TEST_CASE("a window that is not inside its region is a conflict of the plan, at its place") {
  const auto complaint = [](const WindowConfig& window, std::vector<std::string> drop = {}) {
    fakes::PlanInput input;
    DeviceFacts facts = fakes::TimerFacts();
    facts.config.windows = {window};
    facts.config.windows[0].place = "vm.toml:9:10: platform.window.offset";
    facts.config.drop = std::move(drop);
    input.devices = {facts};
    return ChainOf([&] { return input.Make(); });
  };
  const std::string place = "vm.toml:9:10: platform.window.offset: ";
  CHECK(complaint({.region = 1, .offset = 0xffc, .size_bytes = 4, .access = kDeny}) == "");
  CHECK(complaint({.region = 2, .access = kDeny}) ==
        place + "there is no region 2, 'ff120000.timer' has 2\n");
  CHECK(complaint({.region = 0, .offset = 0xfd, .size_bytes = 4, .access = kDeny}) ==
        place + "0x4 bytes at 0xfd are not inside region 0 of 'ff120000.timer', which has 0x100\n");
  CHECK(complaint({.region = 0, .offset = INT64_MAX, .size_bytes = UINT64_MAX, .access = kDeny}) ==
        place +
            "0xffffffffffffffff bytes at 0x7fffffffffffffff are not inside region 0 of "
            "'ff120000.timer', which has 0x100\n");
  CHECK(complaint({.region = 1, .access = kDeny}, {"reg:1"}) ==
        place + "region 1 of 'ff120000.timer' is dropped\n");
}

TEST_CASE("--print-plan shows what is trapped and what windows allow") {
  fakes::PlanInput input;
  input.devices = {Facts({{.offset = 0x1010, .size_bytes = 4, .access = kReadOnly}})};
  CHECK(fakes::Contains(FormatPlan(input.Make()),
                        "# region 0x14000000-0x14005fff mapped\n"
                        "#   0x14001000-0x14001fff trapped\n"
                        "#   offset 0x0 size 0x1010 allow\n"
                        "#   offset 0x1010 size 0x4 read-only\n"
                        "#   offset 0x1014 size 0x4fec allow\n"));
}

TEST_CASE("the width of accesses is the node's reg-io-width, the host's or one's own") {
  fakes::PlanInput input;
  input.devices = {fakes::CanFacts()};
  CHECK(input.Make().devices[0].access_bytes == 0);
  input.devices[0].config.properties["reg-io-width"] = BigEndian({4});
  const VmPlan plan = input.Make();
  CHECK(plan.devices[0].access_bytes == 4);
  CHECK(Contains(FormatPlan(plan), "# trapped accesses of 4 bytes only\n"));
  input.devices[0].config.properties["reg-io-width"] = BigEndian({1, 2});
  CHECK(input.Make().devices[0].access_bytes == 0);
}

}  // namespace
}  // namespace microvm
