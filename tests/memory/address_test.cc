// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cstdint>

#include "vmm/memory/address_allocator.h"
#include "vmm/memory/address_range.h"

namespace microvm {
namespace {

constexpr std::uint64_t kTop = UINT64_MAX;

TEST_CASE("AddressRange refuses to be empty") {
  CHECK_THROWS_WITH_AS(AddressRange({0x1000}, 0), "no such address range: 0x1000 + 0x0", Error);
}

TEST_CASE("AddressRange may end at the very top of the address space, and not beyond") {
  const AddressRange last_page({kTop - 0xfff}, 0x1000);
  CHECK(last_page.last().value == kTop);
  CHECK(last_page.size_bytes() == 0x1000);
  CHECK_THROWS_AS(AddressRange({kTop - 0xfff}, 0x1001), Error);
  CHECK_THROWS_AS(AddressRange({kTop}, 2), Error);
}

TEST_CASE("AddressRange contains its first and last byte and neither neighbour") {
  const AddressRange range({0x1000}, 0x1000);
  CHECK(range.Contains({0x1000}));
  CHECK(range.Contains({0x1fff}));
  CHECK_FALSE(range.Contains({0x0fff}));
  CHECK_FALSE(range.Contains({0x2000}));
}

TEST_CASE("AddressRange contains an access only whole, and lengths cannot wrap it") {
  const AddressRange range({0x1000}, 0x1000);
  CHECK(range.Contains({0x1ffc}, 4));
  CHECK_FALSE(range.Contains({0x1ffd}, 4));
  CHECK_FALSE(range.Contains({0x0fff}, 2));
  CHECK_FALSE(range.Contains({0x1000}, kTop));
  CHECK(AddressRange({kTop - 7}, 8).Contains({kTop - 7}, 8));
  CHECK_FALSE(AddressRange({kTop - 7}, 8).Contains({kTop - 6}, 8));
}

TEST_CASE("AddressRange overlaps what shares a byte, and not what touches") {
  const AddressRange range({0x1000}, 0x1000);
  CHECK(range.Overlaps(AddressRange({0x1fff}, 1)));
  CHECK(range.Overlaps(AddressRange({0x0}, 0x1001)));
  CHECK(range.Overlaps(AddressRange({0x1400}, 0x10)));
  CHECK(AddressRange({0x1400}, 0x10).Overlaps(range));
  CHECK_FALSE(range.Overlaps(AddressRange({0x2000}, 1)));
  CHECK_FALSE(range.Overlaps(AddressRange({0x0}, 0x1000)));
}

TEST_CASE("an address range prints its first and last byte") {
  CHECK(ToString(AddressRange({0x9000000}, 0x1000)) == "0x9000000-0x9000fff");
}

TEST_CASE("AlignUp keeps multiples, rounds the rest up, and says when that would wrap") {
  CHECK(AlignUp(0, 0x1000) == 0U);
  CHECK(AlignUp(0x1000, 0x1000) == 0x1000U);
  CHECK(AlignUp(0x1001, 0x1000) == 0x2000U);
  CHECK(AlignUp(kTop - 0xfff, 0x1000) == kTop - 0xfff);
  CHECK_FALSE(AlignUp(kTop, 0x1000).has_value());
  CHECK(AlignUp(kTop, 1) == kTop);
}

TEST_CASE("AddressAllocator hands out ranges side by side, first fit") {
  AddressAllocator addresses({AddressRange({0x1000}, 0x3000)});
  CHECK(addresses.Allocate("a", 0x1000, 0x1000) == AddressRange({0x1000}, 0x1000));
  CHECK(addresses.Allocate("b", 0x1000, 0x1000) == AddressRange({0x2000}, 0x1000));
  CHECK(addresses.Allocate("c", 0x1000, 0x1000) == AddressRange({0x3000}, 0x1000));
}

TEST_CASE("AddressAllocator fills the hole that alignment left") {
  AddressAllocator addresses({AddressRange({0x1000}, 0x10000)});
  CHECK(addresses.Allocate("large", 0x4000, 0x4000).start().value == 0x4000);
  CHECK(addresses.Allocate("small", 0x1000, 0x1000).start().value == 0x1000);
  CHECK(addresses.Allocate("fits", 0x2000, 0x1000).start().value == 0x2000);
  CHECK(addresses.Allocate("next", 0x1000, 0x1000).start().value == 0x8000);
}

TEST_CASE("AddressAllocator goes on to the next window when one is full") {
  AddressAllocator addresses({AddressRange({0x1000}, 0x1000), AddressRange({0x10000}, 0x2000)});
  CHECK(addresses.Allocate("a", 0x1000, 0x1000).start().value == 0x1000);
  CHECK(addresses.Allocate("b", 0x1000, 0x1000).start().value == 0x10000);
}

TEST_CASE("AddressAllocator names the owner for which there is no room") {
  AddressAllocator addresses({AddressRange({0x1000}, 0x1000)});
  CHECK_THROWS_WITH_AS(addresses.Allocate("ff070000.canfd region 1", 0x1001, 1),
                       "no room in the guest's address space for ff070000.canfd region 1 "
                       "(0x1001 bytes)",
                       Error);
}

TEST_CASE("AddressAllocator finds the last place of the address space and nothing after it") {
  AddressAllocator addresses({AddressRange({kTop - 0x1fff}, 0x2000)});
  CHECK(addresses.Allocate("a", 0x1000, 0x1000).start().value == kTop - 0x1fff);
  CHECK(addresses.Allocate("b", 0x1000, 0x1000).last().value == kTop);
  CHECK_THROWS_AS(addresses.Allocate("c", 1, 1), Error);
}

TEST_CASE("AddressAllocator gives up where aligning would wrap") {
  AddressAllocator addresses({AddressRange({kTop - 0xff}, 0x100)});
  CHECK_THROWS_AS(addresses.Allocate("a", 1, 0x1000), Error);
}

TEST_CASE("AddressAllocator without windows has no room") {
  AddressAllocator addresses({});
  CHECK_THROWS_AS(addresses.Allocate("a", 1, 1), Error);
}

}  // namespace
}  // namespace microvm
