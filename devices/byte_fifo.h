// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace microvm {

// A FIFO of bytes with a fixed capacity; not thread-safe.
template <std::size_t Capacity>
class ByteFifo {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool full() const { return size_ == Capacity; }
  void Push(std::uint8_t byte) { bytes_[(head_ + size_++) % Capacity] = byte; }
  std::uint8_t Pop() {
    const std::uint8_t byte = bytes_[head_];
    head_ = (head_ + 1) % Capacity;
    --size_;
    return byte;
  }
  void Clear() { size_ = 0; }

 private:
  std::array<std::uint8_t, Capacity> bytes_{};
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace microvm
