// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/memory/address_range.h"

namespace microvm {

// Where the guest's RAM is in this process. The memory is another's, and outlives it. Any thread.
class GuestRam {
 public:
  // `ranges` lie one behind the other in `bytes`.
  GuestRam(std::vector<AddressRange> ranges, std::span<std::byte> bytes)
      : ranges_(std::move(ranges)), bytes_(bytes) {}

  // The host's view of `length` bytes at `address`; empty if they are not all in one range of RAM,
  // or none. For addresses that the guest gives: nothing it can say throws.
  [[nodiscard]] std::span<std::byte> Find(GuestAddress address,
                                          std::uint64_t length) const noexcept {
    if (length == 0) return {};
    std::uint64_t before = 0;
    for (const AddressRange& range : ranges_) {
      if (range.Contains(address, length)) {
        return bytes_.subspan(before + (address.value - range.start().value), length);
      }
      before += range.size_bytes();
    }
    return {};
  }

  [[nodiscard]] const std::vector<AddressRange>& ranges() const { return ranges_; }
  // All of it.
  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

 private:
  std::vector<AddressRange> ranges_;
  std::span<std::byte> bytes_;
};

}  // namespace microvm
