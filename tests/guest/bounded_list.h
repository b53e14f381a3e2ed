// SPDX-License-Identifier: Apache-2.0
// A list with room for N values and no allocator behind it.
#pragma once

#include <array>
#include <cstddef>

namespace guest {

template <typename T, std::size_t N>
class BoundedList {
 public:
  // False when the list is full; the value is then dropped.
  bool Add(const T& value) {
    if (size_ == N) return false;
    values_[size_++] = value;
    return true;
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  const T& operator[](std::size_t index) const { return values_[index]; }
  [[nodiscard]] const T* begin() const { return values_.data(); }
  [[nodiscard]] const T* end() const { return values_.data() + size_; }

 private:
  std::array<T, N> values_{};
  std::size_t size_ = 0;
};

}  // namespace guest
