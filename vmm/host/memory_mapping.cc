// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/memory_mapping.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

std::byte* CheckedMmap(HostKernel& kernel, std::size_t length, int flags, int fd, off_t offset,
                       void* place = nullptr, int protection = kReadWrite) {
  void* address = kernel.Mmap(place, length, protection, flags, fd, offset);
  if (address == MAP_FAILED) ThrowErrno("mmap");
  return static_cast<std::byte*>(address);
}

}  // namespace

MemoryMapping MemoryMapping::OfFile(const Fd& fd, std::size_t length, off_t offset) {
  std::byte* start = CheckedMmap(fd.kernel(), length, MAP_SHARED, fd.get(), offset);
  return {fd.kernel(), {start, length}};
}

MemoryMapping MemoryMapping::OfFileToRead(const Fd& fd, std::size_t length) {
  std::byte* start = CheckedMmap(fd.kernel(), length, MAP_SHARED, fd.get(), 0, nullptr, PROT_READ);
  return {fd.kernel(), {start, length}};
}

MemoryMapping MemoryMapping::OfFilePages(const Fd& fd, std::span<const off_t> offsets,
                                         std::size_t page_bytes) {
  // Addresses that nobody else is given; then each page in its place among them.
  MemoryMapping mapping = Anonymous(fd.kernel(), offsets.size() * page_bytes, page_bytes, 0);
  for (std::size_t index = 0; index < offsets.size(); ++index) {
    CheckedMmap(fd.kernel(), page_bytes, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd.get(),
                offsets[index], &mapping.bytes_[index * page_bytes]);
  }
  return mapping;
}

MemoryMapping MemoryMapping::Anonymous(HostKernel& kernel, std::size_t length,
                                       std::size_t alignment, int extra_flags) {
  if ((extra_flags & MAP_HUGETLB) != 0) {
    // Aligned to its page size already, and reserved: too few huge pages fail here with ENOMEM,
    // not later as a SIGBUS.
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | extra_flags;
    return {kernel, {CheckedMmap(kernel, length, flags, -1, 0), length}};
  }
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | extra_flags;
  std::byte* reserved = CheckedMmap(kernel, length + alignment, flags, -1, 0);
  const std::size_t misaligned = reinterpret_cast<std::uintptr_t>(reserved) & (alignment - 1);
  const std::size_t head = misaligned == 0 ? 0 : alignment - misaligned;
  if (head > 0) kernel.Munmap(reserved, head);
  if (head < alignment) kernel.Munmap(reserved + head + length, alignment - head);
  return {kernel, {reserved + head, length}};
}

MemoryMapping::MemoryMapping(MemoryMapping&& other) noexcept
    : kernel_(other.kernel_), bytes_(std::exchange(other.bytes_, {})) {}

MemoryMapping& MemoryMapping::operator=(MemoryMapping&& other) noexcept {
  std::swap(kernel_, other.kernel_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MemoryMapping::~MemoryMapping() {
  if (!bytes_.empty()) kernel_->Munmap(bytes_.data(), bytes_.size());
}

}  // namespace microvm
