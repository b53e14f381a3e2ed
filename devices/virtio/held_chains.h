// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "devices/virtio/split_queue.h"

namespace microvm {

// The requests of one queue that a device keeps until the host has something for them, or takes
// something from them: first come, first served. As many pieces as a queue has descriptors, which
// is all that a driver can have given where there are no indirect ones.
class HeldChains {
 public:
  struct Ended {
    std::uint16_t head;
    std::uint32_t written_bytes;
  };

  // `pieces` are not empty. False, and nothing is held, if there are more of them in all than a
  // queue has descriptors: some are in two chains.
  [[nodiscard]] bool Hold(std::uint16_t head, std::span<const iovec> pieces) noexcept;

  // Whether a chain waits, and what is left of the first piece of the first that does; there is one
  // if it does.
  [[nodiscard]] bool waits() const { return ended_ < count_; }
  [[nodiscard]] std::span<std::byte> piece() const;
  // That much of the piece has been read or written; the chain has ended if nothing is left of it.
  void Advance(std::size_t length_bytes) noexcept;
  // The first that waits has ended, if any of it has been read or written.
  void EndStarted() noexcept;

  // Of those that have ended, the first, which is held no more.
  std::optional<Ended> TakeEnded() noexcept;

  void Clear() noexcept { count_ = ended_ = pieces_count_ = 0; }

 private:
  static constexpr std::size_t kMaximum = SplitQueue::kMaximumSize;
  struct Chain {
    std::uint16_t head = 0;
    std::uint16_t pieces = 0;  // that are left
    std::uint32_t done_bytes = 0;
  };

  [[nodiscard]] Chain& FirstWaiting() { return chains_[(first_ + ended_) % kMaximum]; }
  void DropPiece() noexcept;

  std::array<Chain, kMaximum> chains_{};  // a ring: those that have ended, then those that wait
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t ended_ = 0;
  std::array<iovec, kMaximum> pieces_{};  // a ring: of those that wait
  std::size_t first_piece_ = 0;
  std::size_t pieces_count_ = 0;
};

}  // namespace microvm
