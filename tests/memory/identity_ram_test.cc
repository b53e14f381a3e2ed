// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/identity_ram.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"
#include "tests/fakes/host_tree.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;

constexpr std::uint64_t kPage = 2U << 20;

// A host whose hugetlbfs gives out pages in an order of its own, three of them neighbours.
struct Host {
  Host() {
    std::filesystem::create_directory(folder.path() / "hugepages");
    kernel.host.huge_page_addresses = {0x5020'0000, 0x7000'0000, 0x5000'0000, 0x5040'0000};
  }
  [[nodiscard]] IdentityRam Open() {
    return {kernel,
            {.path = path.string(),
             .size_bytes = 4 * kPage,
             .page_bytes = page_bytes,
             .devices = devices}};
  }
  [[nodiscard]] std::string Complaint() {
    const fakes::CapturedStream errors(STDERR_FILENO);
    return ChainOf([&] { const IdentityRam ram = Open(); });
  }
  [[nodiscard]] bool HasFile() const { return std::filesystem::exists(path); }

  fakes::TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "hugepages" / "vm";
  fakes::FakeKernel kernel;
  std::uint64_t page_bytes = kPage;
  std::vector<std::string> devices = {"a.dma"};
};

TEST_CASE("RAM at the host's addresses: in ascending order, neighbours together") {
  Host host;
  const IdentityRam ram = host.Open();
  CHECK(ram.ranges() ==
        std::vector{AddressRange({0x5000'0000}, 3 * kPage), AddressRange({0x7000'0000}, kPage)});
  CHECK(ram.bytes().size() == 4 * kPage);
  CHECK_FALSE(ram.left_over());
}

TEST_CASE("memory at address 0 is memory") {
  Host host;
  host.kernel.host.huge_page_addresses = {0x20'0000, 0, 0x5000'0000, 0x5020'0000};
  CHECK(host.Open().ranges() ==
        std::vector{AddressRange({0}, 2 * kPage), AddressRange({0x5000'0000}, 2 * kPage)});
}

TEST_CASE("the memory of an address is the page of the file that is there") {
  Host host;
  const IdentityRam ram = host.Open();
  // The first byte of each page, in the order of addresses.
  for (unsigned page = 0; page < 4; ++page) ram.bytes()[page * kPage] = std::byte(page + 1);
  const Fd file = OpenFd(host.kernel, host.path.string(), O_RDONLY);
  std::string seen;
  for (const unsigned page : {0U, 1U, 2U, 3U}) {
    char byte = 0;
    REQUIRE(host.kernel.Pread(file.get(), &byte, 1, static_cast<off_t>(page * kPage)) == 1);
    seen += static_cast<char>('0' + byte);
  }
  CHECK(seen == "2413");
}

TEST_CASE("pages are pinned before anybody asks where they are, for as long as they are used") {
  Host host;
  {
    const IdentityRam ram = host.Open();
    const auto log = host.kernel.log();
    const auto pin = std::find(log.begin(), log.end(), "io_uring_register");
    const auto look = std::find(log.begin(), log.end(), "open pagemap");
    REQUIRE(pin != log.end());
    CHECK(pin < look);
    const auto live = host.kernel.Live();
    CHECK(std::count(live.begin(), live.end(), "io_uring") == 1);
  }
  CHECK(host.kernel.Live() == std::vector<std::string>{});
  CHECK(host.kernel.violations() == std::vector<std::string>{});
  // Unpinned and unmapped before the pages are anybody's again.
  const auto log = host.kernel.log();
  const std::vector<std::string> end(log.end() - 4, log.end());
  CHECK(end == std::vector<std::string>{"close io_uring", "unlink vm@a.dma", "unlink vm",
                                        "close file vm"});
}

TEST_CASE("the file goes with its owner, unless a device may still write to it") {
  Host host;
  { const IdentityRam ram = host.Open(); }
  CHECK_FALSE(host.HasFile());
  std::string said;
  {
    const fakes::CapturedStream errors(STDERR_FILENO);
    {
      IdentityRam ram = host.Open();
      ram.Keep();
    }
    said = errors.text();
  }
  CHECK(host.HasFile());
  CHECK(Contains(said, "hugepages/vm is kept"));
  CHECK(Contains(said, "rm " + host.path.string()));
  {
    IdentityRam ram = host.Open();
    CHECK(ram.left_over());
    ram.GiveBack();
  }
  CHECK_FALSE(host.HasFile());
}

TEST_CASE("what is left over keeps its content, and its place") {
  Host host;
  const fakes::CapturedStream errors(STDERR_FILENO);
  {
    IdentityRam ram = host.Open();
    ram.Keep();
    ram.bytes().front() = std::byte{7};
  }
  const IdentityRam ram = host.Open();
  CHECK(ram.bytes().front() == std::byte{7});
  CHECK(ram.ranges().front().start().value == 0x5000'0000);
}

TEST_CASE("what is left over with another size is not touched") {
  Host host;
  {
    const fakes::CapturedStream errors(STDERR_FILENO);
    IdentityRam ram = host.Open();
    ram.Keep();
  }
  std::filesystem::resize_file(host.path, 2 * kPage);
  CHECK(
      host.Complaint() ==
      "it is left over from a machine that was killed, whose devices may still write to it, and "
      "which had 4 MiB, not 8\nto fix it:\n  start it once with memory.size as it was; or, if its "
      "devices are at rest: rm " +
          host.path.string() + "\n");
  CHECK(std::filesystem::file_size(host.path) == 2 * kPage);
}

TEST_CASE("what is left over is for a machine with all devices that may still write to it") {
  Host host;
  const fakes::CapturedStream errors(STDERR_FILENO);
  const auto note = [&](const char* device) { return host.path.string() + "@" + device; };
  {
    IdentityRam ram = host.Open();
    ram.Keep();
  }
  host.devices = {"b.dma"};
  CHECK(host.Complaint() ==
        "it is left over from a machine that was killed, whose devices may still write to it, and "
        "which had 'a.dma'\nto fix it:\n  start it once with the devices that it had; or, if its "
        "devices are at rest: rm " +
            host.path.string() + "\n");
  CHECK(host.HasFile());
  host.devices = {"b.dma", "a.dma"};
  {
    IdentityRam ram = host.Open();
    CHECK(std::filesystem::exists(note("b.dma")));
    ram.GiveBack();
  }
  CHECK_FALSE(std::filesystem::exists(note("a.dma")));
  CHECK_FALSE(std::filesystem::exists(note("b.dma")));
}

TEST_CASE("notes without a file say nothing, and go") {
  Host host;
  const std::string note = host.path.string() + "@gone.dma";
  { const Fd stale = OpenFd(host.kernel, note, O_RDWR | O_CREAT); }
  { const IdentityRam ram = host.Open(); }
  CHECK_FALSE(std::filesystem::exists(note));
  CHECK(std::filesystem::is_empty(host.path.parent_path()));
}

TEST_CASE("one file is one machine's") {
  Host host;
  const IdentityRam ram = host.Open();
  CHECK(Contains(host.Complaint(), "another process has it"));
  CHECK(host.HasFile());
}

TEST_CASE("what the host lacks is said, with the remedy, and leaves no file") {
  Host host;
  SUBCASE("no folder") {
    std::filesystem::remove(host.path.parent_path());
    CHECK(Contains(host.Complaint(), "mount -t hugetlbfs -o pagesize=2048K none " +
                                         host.path.parent_path().string()));
  }
  SUBCASE("no hugetlbfs") {
    host.path = host.folder.path() / "vm";
    CHECK(Contains(host.Complaint(), host.folder.path().string() + " is no hugetlbfs"));
  }
  SUBCASE("another page size") {
    host.kernel.host.hugetlbfs_page_bytes = 1U << 30;
    CHECK(
        Contains(host.Complaint(), "has huge pages of 1048576 KiB, memory.hugepages is 2048 KiB"));
  }
  SUBCASE("too few pages") {
    host.kernel.host.huge_pages = false;
    const std::string complaint = host.Complaint();
    CHECK(Contains(complaint, "too few free huge pages of 2048 KiB\n  mmap: Cannot allocate"));
    CHECK(Contains(complaint, "echo 4 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"));
  }
  SUBCASE("no right to pin") {
    host.kernel.host.may_lock = false;
    CHECK(Contains(host.Complaint(), "ulimit -l unlimited"));
  }
  SUBCASE("no right to see addresses") {
    host.kernel.host.sees_addresses = false;
    CHECK(Contains(host.Complaint(), "run as root: physical addresses are for CAP_SYS_ADMIN"));
  }
  CHECK_FALSE(host.HasFile());
  CHECK(host.kernel.Live() == std::vector<std::string>{});
}

TEST_CASE("pages that move although they are pinned are noticed") {
  Host host;
  unsigned looks = 0;
  host.kernel.host.on_pagemap = [&] {
    if (++looks == 5) host.kernel.host.huge_page_addresses[2] = 0x5060'0000;
  };
  CHECK(Contains(host.Complaint(), "has moved huge pages although they are pinned"));
  CHECK_FALSE(host.HasFile());
}

}  // namespace
}  // namespace microvm
