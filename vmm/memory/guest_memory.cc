// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/guest_memory.h"

#include <linux/mman.h>
#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

namespace microvm {
namespace {

constexpr std::size_t kTransparentHugepageBytes = std::size_t{2} << 20;

// What to say of huge pages that the kernel does not give: mmap's EINVAL is a size it has none of.
Error NoHugePages(int error, std::uint64_t size_bytes, std::size_t hugepage_bytes) {
  const std::string kib = std::to_string(hugepage_bytes >> 10);
  const std::string without = "or remove 'hugepages' from the [memory] table";
  if (error == EINVAL) {
    return Error("the host has no huge pages of " + kib + " KiB",
                 "see which it has: ls /sys/kernel/mm/hugepages\n" + without);
  }
  const std::string pages = std::to_string(size_bytes / hugepage_bytes);
  return Error("too few free huge pages of " + kib + " KiB: the guest needs " + pages,
               "echo " + pages + " > /sys/kernel/mm/hugepages/hugepages-" + kib +
                   "kB/nr_hugepages\n" + without);
}

MemoryMapping MapHugePages(HostKernel& kernel, std::uint64_t size_bytes,
                           std::size_t hugepage_bytes) {
  const int order = std::countr_zero(hugepage_bytes);
  try {
    return MemoryMapping::Anonymous(kernel, size_bytes, hugepage_bytes,
                                    MAP_HUGETLB | (order << MAP_HUGE_SHIFT));
  } catch (const std::exception& error) {
    std::throw_with_nested(NoHugePages(ErrnoOf(error), size_bytes, hugepage_bytes));
  }
}

MemoryMapping MapRam(HostKernel& kernel, std::uint64_t size_bytes,
                     const GuestMemoryOptions& options) {
  const std::string what =
      "cannot map " + std::to_string(size_bytes >> 20) + " MiB of guest memory";
  if (options.hugepage_bytes != 0) {
    return WithContext(Error(what),
                       [&] { return MapHugePages(kernel, size_bytes, options.hugepage_bytes); });
  }
  const Error context(what,
                      "make memory.size smaller, or raise what limits a process's address space "
                      "(ulimit -v, sysctl vm.overcommit_memory)");
  return WithContext(context, [&] {
    return MemoryMapping::Anonymous(kernel, size_bytes, kTransparentHugepageBytes, 0);
  });
}

}  // namespace

GuestMemory::GuestMemory(HostKernel& kernel, const std::vector<AddressRange>& ranges,
                         const GuestMemoryOptions& options)
    : kernel_(kernel),
      options_(options),
      mapping_(MapRam(kernel, TotalBytes(ranges), options)),
      ram_(ranges, mapping_.bytes()) {
  if (options.hugepage_bytes == 0) {
    // Advice only: a kernel without transparent huge pages answers EINVAL.
    kernel_.Madvise(ram_.bytes().data(), ram_.bytes().size(), MADV_HUGEPAGE);
  }
  if (options.lock) Lock();
}

GuestMemory::GuestMemory(HostKernel& kernel, std::vector<AddressRange> ranges,
                         const GuestMemoryOptions& options, std::span<std::byte> memory)
    : kernel_(kernel), options_(options), ram_(std::move(ranges), memory) {
  if (options.lock) Lock();
}

void GuestMemory::Lock() {
  const Error context("cannot lock the guest's memory",
                      "raise the limit (ulimit -l unlimited), run as root, or remove 'lock' from "
                      "the [memory] table");
  WithContext(context, [&] {
    if (kernel_.Mlock(ram_.bytes().data(), ram_.bytes().size()) != 0) ThrowErrno("mlock");
  });
}

std::span<std::byte> GuestMemory::Span(GuestAddress address, std::uint64_t length) const {
  const std::span<std::byte> found = ram_.Find(address, length);
  if (found.size() == length) return found;
  throw Error("not guest RAM: " + ToString(AddressRange(address, length)));
}

void GuestMemory::Clear(bool pinned) {
  // Dropping a page that VFIO has pinned would leave the device writing to a page that is no
  // longer the guest's, so pinned memory is overwritten in place.
  const bool droppable = !pinned && !options_.lock && options_.hugepage_bytes == 0;
  if (droppable && kernel_.Madvise(ram_.bytes().data(), ram_.bytes().size(), MADV_DONTNEED) == 0) {
    return;
  }
  std::memset(ram_.bytes().data(), 0, ram_.bytes().size());
}

}  // namespace microvm
