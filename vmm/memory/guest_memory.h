// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/host/memory_mapping.h"
#include "vmm/memory/address_range.h"
#include "vmm/memory/guest_ram.h"

namespace microvm {

struct GuestMemoryOptions {
  std::uint64_t hugepage_bytes = 0;  // 0: ordinary pages, transparent huge pages where possible
  bool lock = false;
};

// The guest's RAM, reachable only through checked spans. The guest writes to it at any time: read
// every value once.
class GuestMemory {
 public:
  // Maps RAM for `ranges`, which do not overlap; throws a chain that names the call, with a remedy
  // where one is known.
  GuestMemory(HostKernel& kernel, const std::vector<AddressRange>& ranges,
              const GuestMemoryOptions& options);
  // The same of memory that there is, and which outlives it: the ranges one behind the other.
  GuestMemory(HostKernel& kernel, std::vector<AddressRange> ranges,
              const GuestMemoryOptions& options, std::span<std::byte> memory);

  // The host's view of `length` bytes of RAM at `address`; throws Error if they are not all in one
  // range of RAM.
  [[nodiscard]] std::span<std::byte> Span(GuestAddress address, std::uint64_t length) const;
  // For who is given addresses by the guest.
  [[nodiscard]] const GuestRam& ram() const { return ram_; }

  // Makes all of RAM read as zero again. Pages that a device may write to stay where they are.
  void Clear(bool pinned);

 private:
  void Lock();

  HostKernel& kernel_;
  GuestMemoryOptions options_;
  MemoryMapping mapping_;  // nothing, if the memory is another's
  GuestRam ram_;
};

}  // namespace microvm
