// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/held_chains.h"

namespace microvm {

bool HeldChains::Hold(std::uint16_t head, std::span<const iovec> pieces) noexcept {
  if (count_ == kMaximum || pieces.size() > kMaximum - pieces_count_) return false;
  for (const iovec& piece : pieces) pieces_[(first_piece_ + pieces_count_++) % kMaximum] = piece;
  chains_[(first_ + count_++) % kMaximum] = {head, static_cast<std::uint16_t>(pieces.size()), 0};
  return true;
}

std::span<std::byte> HeldChains::piece() const {
  const iovec& piece = pieces_[first_piece_];
  return {static_cast<std::byte*>(piece.iov_base), piece.iov_len};
}

void HeldChains::Advance(std::size_t length_bytes) noexcept {
  iovec& piece = pieces_[first_piece_];
  piece.iov_base = static_cast<std::byte*>(piece.iov_base) + length_bytes;
  piece.iov_len -= length_bytes;
  Chain& chain = FirstWaiting();
  chain.done_bytes += static_cast<std::uint32_t>(length_bytes);
  if (piece.iov_len > 0) return;
  DropPiece();
  if (chain.pieces == 0) ++ended_;
}

void HeldChains::EndStarted() noexcept {
  if (!waits() || FirstWaiting().done_bytes == 0) return;
  while (FirstWaiting().pieces > 0) DropPiece();
  ++ended_;
}

void HeldChains::DropPiece() noexcept {
  first_piece_ = (first_piece_ + 1) % kMaximum;
  --pieces_count_;
  --FirstWaiting().pieces;
}

std::optional<HeldChains::Ended> HeldChains::TakeEnded() noexcept {
  if (ended_ == 0) return std::nullopt;
  const Chain& chain = chains_[first_];
  first_ = (first_ + 1) % kMaximum;
  --ended_;
  --count_;
  return Ended{chain.head, chain.done_bytes};
}

}  // namespace microvm
