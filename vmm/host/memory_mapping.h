// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "vmm/host/fd.h"

namespace microvm {

// Owns one mmap(2) mapping. `kernel` outlives it.
class MemoryMapping {
 public:
  // A shared read-write mapping of `fd`; throws std::system_error naming mmap.
  static MemoryMapping OfFile(const Fd& fd, std::size_t length, off_t offset);
  // The same, of the file's start, which is only read.
  static MemoryMapping OfFileToRead(const Fd& fd, std::size_t length);
  // A shared read-write mapping of pages of `fd` at `offsets`, one behind the other in that order,
  // present from the start; `page_bytes` is a power of two.
  static MemoryMapping OfFilePages(const Fd& fd, std::span<const off_t> offsets,
                                   std::size_t page_bytes);
  // Private zeroed memory whose start is aligned to `alignment` (a power of two, at least a page);
  // `extra_flags` are added to the mmap flags (MAP_HUGETLB...).
  static MemoryMapping Anonymous(HostKernel& kernel, std::size_t length, std::size_t alignment,
                                 int extra_flags);

  MemoryMapping() = default;
  MemoryMapping(const MemoryMapping&) = delete;
  MemoryMapping& operator=(const MemoryMapping&) = delete;
  MemoryMapping(MemoryMapping&& other) noexcept;
  MemoryMapping& operator=(MemoryMapping&& other) noexcept;
  ~MemoryMapping();

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  [[nodiscard]] void* data() const { return bytes_.data(); }

 private:
  MemoryMapping(HostKernel& kernel, std::span<std::byte> bytes) : kernel_(&kernel), bytes_(bytes) {}

  HostKernel* kernel_ = nullptr;
  std::span<std::byte> bytes_;
};

}  // namespace microvm
