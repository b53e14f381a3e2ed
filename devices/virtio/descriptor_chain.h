// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace microvm {

// Pieces of guest RAM, one behind the other; how a request is divided among them means nothing
// (virtio 1.2, 2.7.4). It does not own the list, and taking from it changes that. What the pieces
// hold, the guest may change at any time: take every value once.
class ScatterList {
 public:
  ScatterList() = default;
  explicit ScatterList(std::span<iovec> pieces) : pieces_(pieces) {}

  [[nodiscard]] std::span<const iovec> pieces() const { return pieces_; }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept;

  // Copies the first bytes to `out` and drops them; false, and nothing happens, if there are fewer.
  bool TakeFirst(std::span<std::byte> out) noexcept;
  // The same for a value; in one piece, as nearly all are, without a call of memcpy.
  template <typename Value>
  bool Take(Value& value) noexcept {
    if (pieces_.empty() || pieces_.front().iov_len < sizeof(value)) {
      return TakeFirst(std::as_writable_bytes(std::span(&value, 1)));
    }
    std::memcpy(&value, DropFirst(sizeof(value)).data(), sizeof(value));
    return true;
  }
  // Drops the first bytes, as far as there are any.
  void Skip(std::size_t length_bytes) noexcept;
  // Copies `in` to the first bytes, as far as there are any, and drops them; returns how many.
  std::size_t PutFirst(std::span<const std::byte> in) noexcept;
  // Drops the last byte; null if there is none. The guest sees what is written there.
  [[nodiscard]] std::byte* TakeLast() noexcept;

 private:
  // Of the first piece. There is one.
  std::span<std::byte> DropFirst(std::size_t at_most) noexcept;

  std::span<iovec> pieces_;
};

// What one request of a driver consists of: the buffers that it wrote, and those that the device is
// to write. A device keeps one of these, and has each request put into it.
class DescriptorChain {
 public:
  // More buffers than a chain may have: a queue's largest size (split_queue.h).
  static constexpr std::size_t kMaximumPieces = 256;

  DescriptorChain() = default;
  DescriptorChain(const DescriptorChain&) = delete;
  DescriptorChain& operator=(const DescriptorChain&) = delete;
  DescriptorChain(DescriptorChain&&) = delete;
  DescriptorChain& operator=(DescriptorChain&&) = delete;
  ~DescriptorChain() = default;

  void Begin(std::uint16_t head) noexcept;
  // False if the chain breaks a rule with it: too many pieces, more than 4 GiB in all, or one for
  // the device to read behind one to write (virtio 1.2, 2.7.4.2 and 2.7.5).
  [[nodiscard]] bool Add(std::span<std::byte> piece, bool writable) noexcept;

  // Its name between driver and device.
  [[nodiscard]] std::uint16_t head() const { return head_; }
  [[nodiscard]] ScatterList Readable() { return ScatterList(std::span(pieces_).first(readable_)); }
  [[nodiscard]] ScatterList Writable() {
    return ScatterList(std::span(pieces_).subspan(readable_, count_ - readable_));
  }

 private:
  std::uint16_t head_ = 0;
  std::size_t readable_ = 0;
  std::size_t count_ = 0;
  std::uint64_t size_bytes_ = 0;
  std::array<iovec, kMaximumPieces> pieces_{};
};

}  // namespace microvm
