// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/guest_memory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::FakeKernel;

constexpr std::uint64_t kStart = 0x4000'0000;
constexpr std::uint64_t kBytes = 4U << 20;
const AddressRange kRam({kStart}, kBytes);

bool IsZero(const GuestMemory& memory) {
  const auto all = memory.Span({kStart}, kBytes);
  return std::all_of(all.begin(), all.end(), [](std::byte b) { return b == std::byte{0}; });
}

bool Called(const FakeKernel& kernel, const std::string& call) {
  const auto log = kernel.log();
  return std::find(log.begin(), log.end(), call) != log.end();
}

TEST_CASE("guest memory is zeroed, aligned for blocks, and as long as was asked") {
  FakeKernel kernel;
  const GuestMemory memory(kernel, {kRam}, {});
  CHECK(reinterpret_cast<std::uintptr_t>(memory.Span({kStart}, 1).data()) % (2U << 20) == 0);
  CHECK(IsZero(memory));
  CHECK(kernel.Live() == std::vector<std::string>{"mapping of memory"});
}

TEST_CASE("guest memory is given back, all of it") {
  FakeKernel kernel;
  { const GuestMemory memory(kernel, {kRam}, {}); }
  CHECK(kernel.Live().empty());
  CHECK(kernel.violations().empty());
}

TEST_CASE("a span covers exactly the bytes asked for, up to the edges of RAM") {
  FakeKernel kernel;
  const GuestMemory memory(kernel, {kRam}, {});
  CHECK(memory.Span({kStart + 1}, 1).data() == memory.Span({kStart}, 2).data() + 1);
  CHECK(memory.Span({kStart}, kBytes).size() == kBytes);
  CHECK(memory.Span({kStart + kBytes - 1}, 1).size() == 1);
  CHECK(memory.Span({0}, 0).empty());
}

TEST_CASE("a span that leaves RAM by one byte is an Error that names it") {
  FakeKernel kernel;
  const GuestMemory memory(kernel, {kRam}, {});
  CHECK(ChainOf([&] { return memory.Span({kStart - 1}, 1); }) ==
        "not guest RAM: 0x3fffffff-0x3fffffff\n");
  CHECK(ChainOf([&] { return memory.Span({kStart + kBytes}, 1); }) ==
        "not guest RAM: 0x40400000-0x40400000\n");
  CHECK(ChainOf([&] { return memory.Span({kStart + 1}, kBytes); }) ==
        "not guest RAM: 0x40000001-0x40400000\n");
  CHECK(ChainOf([&] { return memory.Span({kStart}, UINT64_MAX); }) != "");
}

TEST_CASE("ordinary pages ask for transparent huge pages, and live without them") {
  FakeKernel kernel;
  kernel.FailMatching("madvise hugepage", EINVAL);
  const GuestMemory memory(kernel, {kRam}, {});
  CHECK(Called(kernel, "madvise hugepage"));
  CHECK(IsZero(memory));
}

TEST_CASE("too few huge pages say how many are needed and how to get them") {
  FakeKernel kernel;
  kernel.host.huge_pages = false;
  CHECK(
      ChainOf([&] { GuestMemory(kernel, {kRam}, {.hugepage_bytes = 2U << 20, .lock = false}); }) ==
      "cannot map 4 MiB of guest memory\n"
      "  too few free huge pages of 2048 KiB: the guest needs 2\n"
      "    mmap: Cannot allocate memory\n"
      "to fix it:\n"
      "  echo 2 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages\n"
      "  or remove 'hugepages' from the [memory] table\n");
  CHECK(kernel.Live().empty());
}

TEST_CASE("huge pages of a size that the host has not are not asked for again") {
  FakeKernel kernel;
  kernel.FailMatching("mmap", EINVAL);
  CHECK(
      ChainOf([&] { GuestMemory(kernel, {kRam}, {.hugepage_bytes = 4U << 20, .lock = false}); }) ==
      "cannot map 4 MiB of guest memory\n"
      "  the host has no huge pages of 4096 KiB\n"
      "    mmap: Invalid argument\n"
      "to fix it:\n"
      "  see which it has: ls /sys/kernel/mm/hugepages\n"
      "  or remove 'hugepages' from the [memory] table\n");
}

TEST_CASE("memory that the host cannot map says what may limit it") {
  FakeKernel kernel;
  kernel.FailMatching("mmap", ENOMEM);
  CHECK(ChainOf([&] { GuestMemory(kernel, {kRam}, {}); }) ==
        "cannot map 4 MiB of guest memory\n"
        "  mmap: Cannot allocate memory\n"
        "to fix it:\n"
        "  make memory.size smaller, or raise what limits a process's address space (ulimit -v, "
        "sysctl vm.overcommit_memory)\n");
}

TEST_CASE("huge pages are used where they are asked for") {
  FakeKernel kernel;
  const GuestMemory memory(kernel, {kRam}, {.hugepage_bytes = 2U << 20, .lock = false});
  CHECK_FALSE(Called(kernel, "madvise hugepage"));
  CHECK(memory.Span({kStart}, kBytes).size() == kBytes);
}

TEST_CASE("memory that cannot be locked says what to do, and is not kept") {
  FakeKernel kernel;
  kernel.host.may_lock = false;
  CHECK(ChainOf([&] { GuestMemory(kernel, {kRam}, {.hugepage_bytes = 0, .lock = true}); }) ==
        "cannot lock the guest's memory\n"
        "  mlock: Cannot allocate memory\n"
        "to fix it:\n"
        "  raise the limit (ulimit -l unlimited), run as root, or remove 'lock' from the [memory] "
        "table\n");
  CHECK(kernel.Live().empty());
}

TEST_CASE("memory is locked only where that is asked for") {
  FakeKernel kernel;
  { const GuestMemory memory(kernel, {kRam}, {}); }
  CHECK_FALSE(Called(kernel, "mlock"));
  const GuestMemory locked(kernel, {kRam}, {.hugepage_bytes = 0, .lock = true});
  CHECK(Called(kernel, "mlock"));
}

void Fill(const GuestMemory& memory) {
  const auto all = memory.Span({kStart}, kBytes);
  std::fill(all.begin(), all.end(), std::byte{0xa5});
}

TEST_CASE("Clear drops pages that nothing holds") {
  FakeKernel kernel;
  GuestMemory memory(kernel, {kRam}, {});
  Fill(memory);
  memory.Clear(false);
  CHECK(Called(kernel, "madvise dontneed"));
  CHECK(IsZero(memory));
}

TEST_CASE("Clear overwrites pages that a device may write to, that are locked, or are huge") {
  for (const auto& [pinned, options] : std::vector<std::pair<bool, GuestMemoryOptions>>{
           {true, {}},
           {false, {.hugepage_bytes = 0, .lock = true}},
           {false, {.hugepage_bytes = 2U << 20, .lock = false}}}) {
    FakeKernel kernel;
    GuestMemory memory(kernel, {kRam}, options);
    Fill(memory);
    memory.Clear(pinned);
    CHECK_FALSE(Called(kernel, "madvise dontneed"));
    CHECK(IsZero(memory));
  }
}

TEST_CASE("Clear overwrites where the kernel does not drop pages") {
  FakeKernel kernel;
  kernel.FailMatching("madvise dontneed", EINVAL);
  GuestMemory memory(kernel, {kRam}, {});
  Fill(memory);
  memory.Clear(false);
  CHECK(IsZero(memory));
}

}  // namespace
}  // namespace microvm
