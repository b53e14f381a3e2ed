// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/memory/address_range.h"

namespace microvm {

// Hands out guest addresses from windows, first fit, in the order of the windows. Pure.
class AddressAllocator {
 public:
  explicit AddressAllocator(std::vector<AddressRange> windows) : windows_(std::move(windows)) {}

  // A range of `size_bytes` whose start is a multiple of `alignment` (a power of two); throws an
  // Error that names `owner` when no window has room.
  AddressRange Allocate(const std::string& owner, std::uint64_t size_bytes,
                        std::uint64_t alignment);

  // Takes `range`, inside a window or not; throws an Error that names `owner` and whose range it
  // overlaps.
  void Reserve(const std::string& owner, const AddressRange& range);

 private:
  struct Taken {
    std::string owner;
    AddressRange range;
  };

  std::vector<AddressRange> windows_;
  std::vector<Taken> taken_;
};

}  // namespace microvm
