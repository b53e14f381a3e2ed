// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/address_allocator.h"

#include <algorithm>

namespace microvm {

AddressRange AddressAllocator::Allocate(const std::string& owner, std::uint64_t size_bytes,
                                        std::uint64_t alignment) {
  for (const AddressRange& window : windows_) {
    auto candidate = AlignUp(window.start().value, alignment);
    while (candidate && window.Contains({*candidate}, size_bytes)) {
      const AddressRange range({*candidate}, size_bytes);
      const auto conflict = std::find_if(taken_.begin(), taken_.end(), [&](const Taken& taken) {
        return taken.range.Overlaps(range);
      });
      if (conflict == taken_.end()) {
        taken_.push_back({owner, range});
        return range;
      }
      if (conflict->range.last().value == UINT64_MAX) break;
      candidate = AlignUp(conflict->range.last().value + 1, alignment);
    }
  }
  throw Error("no room in the guest's address space for " + owner + " (" + Hex(size_bytes) +
              " bytes)");
}

void AddressAllocator::Reserve(const std::string& owner, const AddressRange& range) {
  for (const Taken& taken : taken_) {
    if (!taken.range.Overlaps(range)) continue;
    throw Error(owner + " at " + ToString(range) + " overlaps " + taken.owner + " at " +
                ToString(taken.range));
  }
  taken_.push_back({owner, range});
}

}  // namespace microvm
