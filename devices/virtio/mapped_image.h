// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <optional>
#include <span>

#include "vmm/host/memory_mapping.h"

namespace microvm {

// A file that is in the host's memory as a whole, mapped: to read it is to copy, without a system
// call for each request. What was read is resident in this process too, as shared memory
// (RssShmem), but takes no memory except the page tables'.
class MappedImage {
 public:
  // Of the file's first `size_bytes`. Nothing, if some of them are holes, which a look at them
  // would fill, or if the kernel does not map it.
  static std::optional<MappedImage> Of(const Fd& fd, std::uint64_t size_bytes);

  // Copies to the pieces what is at `offset`, all of it within the size. False, and a system call
  // is to be asked what there is, if the file has been made shorter. Any thread.
  [[nodiscard]] bool Read(std::uint64_t offset, std::span<const iovec> pieces) const noexcept;

 private:
  explicit MappedImage(MemoryMapping mapping) : mapping_(std::move(mapping)) {}

  MemoryMapping mapping_;
};

}  // namespace microvm
