// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "vmm/host/memory_mapping.h"
#include "vmm/memory/address_range.h"

namespace microvm {

struct GuestMemoryOptions {
  std::uint64_t hugepage_bytes = 0;  // 0: ordinary pages, transparent huge pages where possible
  bool lock = false;
};

// The guest's RAM: one mapping of the host, reachable only through checked spans. The guest
// writes to it at any time: read every value once.
class GuestMemory {
 public:
  // Maps RAM for `range`; throws a chain that names the call, with a remedy where one is known.
  GuestMemory(HostKernel& kernel, const AddressRange& range, const GuestMemoryOptions& options);

  [[nodiscard]] const AddressRange& range() const { return range_; }
  [[nodiscard]] void* host_start() const { return mapping_.data(); }

  // The host's view of `length` bytes of RAM at `address`; throws Error if they are not all RAM.
  [[nodiscard]] std::span<std::byte> Span(GuestAddress address, std::uint64_t length) const;

  // Makes all of RAM read as zero again. Pages that a device may write to stay where they are.
  void Clear(bool pinned);

 private:
  HostKernel& kernel_;
  AddressRange range_;
  GuestMemoryOptions options_;
  MemoryMapping mapping_;
};

}  // namespace microvm
