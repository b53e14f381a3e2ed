// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/host/error.h"

namespace microvm {

// A guest physical address (IPA). It has no `+`: ranges do the arithmetic, checked.
struct GuestAddress {
  std::uint64_t value = 0;
  auto operator<=>(const GuestAddress&) const = default;
};

// A non-empty range of guest physical addresses that does not wrap. It keeps its last byte, not
// its end, so that a range may reach the top of the address space.
class AddressRange {
 public:
  // Throws Error if `size_bytes` is zero or the range wraps.
  AddressRange(GuestAddress start, std::uint64_t size_bytes)
      : start_(start.value), last_(start.value + (size_bytes - 1)) {
    if (size_bytes == 0 || last_ < start_) {
      throw Error("no such address range: " + Hex(start.value) + " + " + Hex(size_bytes));
    }
  }

  [[nodiscard]] GuestAddress start() const { return {start_}; }
  [[nodiscard]] GuestAddress last() const { return {last_}; }
  [[nodiscard]] std::uint64_t size_bytes() const { return last_ - start_ + 1; }

  [[nodiscard]] bool Contains(GuestAddress address) const {
    return address.value >= start_ && address.value <= last_;
  }
  // Whether all of `length` bytes from `address` lie inside; `length` is at least 1.
  [[nodiscard]] bool Contains(GuestAddress address, std::uint64_t length) const {
    return Contains(address) && length - 1 <= last_ - address.value;
  }
  [[nodiscard]] bool Overlaps(const AddressRange& other) const {
    return start_ <= other.last_ && other.start_ <= last_;
  }
  bool operator==(const AddressRange&) const = default;

 private:
  std::uint64_t start_;
  std::uint64_t last_;
};

// "0x9000000-0x9000fff".
inline std::string ToString(const AddressRange& range) {
  return Hex(range.start().value) + "-" + Hex(range.last().value);
}

inline std::uint64_t TotalBytes(const std::vector<AddressRange>& ranges) {
  std::uint64_t sum = 0;
  for (const AddressRange& range : ranges) sum += range.size_bytes();
  return sum;
}

// The next multiple of `alignment` (a power of two); nothing if it would wrap.
constexpr std::optional<std::uint64_t> AlignUp(std::uint64_t value, std::uint64_t alignment) {
  const std::uint64_t aligned = (value + (alignment - 1)) & ~(alignment - 1);
  if (aligned < value) return std::nullopt;
  return aligned;
}

}  // namespace microvm
