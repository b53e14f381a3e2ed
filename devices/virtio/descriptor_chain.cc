// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/descriptor_chain.h"

#include <algorithm>
#include <cstring>

namespace microvm {

std::uint64_t ScatterList::size_bytes() const noexcept {
  std::uint64_t sum = 0;
  for (const iovec& piece : pieces_) sum += piece.iov_len;
  return sum;
}

bool ScatterList::TakeFirst(std::span<std::byte> out) noexcept {
  if (size_bytes() < out.size()) return false;
  while (!out.empty()) {
    const std::span<std::byte> part = DropFirst(out.size());
    std::memcpy(out.data(), part.data(), part.size());
    out = out.subspan(part.size());
  }
  return true;
}

void ScatterList::Skip(std::size_t length_bytes) noexcept {
  while (length_bytes > 0 && !pieces_.empty()) length_bytes -= DropFirst(length_bytes).size();
}

std::size_t ScatterList::PutFirst(std::span<const std::byte> in) noexcept {
  const std::size_t length = in.size();
  while (!in.empty() && !pieces_.empty()) {
    const std::span<std::byte> part = DropFirst(in.size());
    std::memcpy(part.data(), in.data(), part.size());
    in = in.subspan(part.size());
  }
  return length - in.size();
}

std::span<std::byte> ScatterList::DropFirst(std::size_t at_most) noexcept {
  iovec& piece = pieces_.front();
  const std::size_t length = std::min(at_most, piece.iov_len);
  auto* start = static_cast<std::byte*>(piece.iov_base);
  piece.iov_base = start + length;
  piece.iov_len -= length;
  if (piece.iov_len == 0) pieces_ = pieces_.subspan(1);
  return {start, length};
}

std::byte* ScatterList::TakeLast() noexcept {
  if (pieces_.empty()) return nullptr;
  iovec& piece = pieces_.back();
  std::byte* last = static_cast<std::byte*>(piece.iov_base) + --piece.iov_len;
  if (piece.iov_len == 0) pieces_ = pieces_.first(pieces_.size() - 1);
  return last;
}

void DescriptorChain::Begin(std::uint16_t head) noexcept {
  head_ = head;
  readable_ = 0;
  count_ = 0;
  size_bytes_ = 0;
}

bool DescriptorChain::Add(std::span<std::byte> piece, bool writable) noexcept {
  if (!writable && count_ != readable_) return false;
  size_bytes_ += piece.size();
  if (count_ == pieces_.size() || size_bytes_ > UINT32_MAX) return false;
  pieces_[count_++] = {piece.data(), piece.size()};
  if (!writable) readable_ = count_;
  return true;
}

}  // namespace microvm
