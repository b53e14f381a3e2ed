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
// (RssShmem), until DropIdle; it takes no memory except the page tables'. No thread may call it
// while another does.
class MappedImage {
 public:
  // Of the file's first `size_bytes`; `fd` outlives it. Nothing, if some of them are holes, which a
  // look at them would fill, or if the kernel does not map it.
  static std::optional<MappedImage> Of(const Fd& fd, std::uint64_t size_bytes);

  // Copies to the pieces what is at `offset`, all of it within the size. False, and a system call
  // is to be asked what there is, if the file has been made shorter.
  [[nodiscard]] bool Read(std::uint64_t offset, std::span<const iovec> pieces) noexcept;
  // If nothing was read since the last call, what was is not resident any more. True if nothing is.
  bool DropIdle() noexcept;

 private:
  MappedImage(const Fd& fd, MemoryMapping mapping) : fd_(&fd), mapping_(std::move(mapping)) {}

  const Fd* fd_;
  MemoryMapping mapping_;
  bool used_ = false;  // since the last DropIdle
};

}  // namespace microvm
