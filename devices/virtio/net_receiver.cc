// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_receiver.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace microvm {
namespace {

// As many as are read before the driver is told.
constexpr std::size_t kBatch = 64;
constexpr std::size_t kMostBuffers = DescriptorChain::kMaximumPieces;
// Of what is held, with room for a whole chain behind it.
constexpr std::size_t kMostPieces = 512;
// readv takes them, and the one that is ours.
static_assert(kMostPieces + 1 <= 1024);

// 5.1.6.3.1: an ordinary packet, with VLAN tags.
constexpr std::uint32_t kPacketBytes = 1514 + kNetHeaderBytes + 8;

// 5.1.6: offset of struct virtio_net_hdr's num_buffers, which the tap leaves alone.
constexpr std::size_t kBufferCountOffset = 10;

}  // namespace

NetReceiver::NetReceiver()
    : pieces_(kMostPieces + 1),
      buffers_(kMostBuffers),
      // Only what is read into it takes memory.
      spill_(std::make_unique_for_overwrite<LargePacket>()) {}

void NetReceiver::Start(bool mergeable) noexcept {
  mergeable_ = mergeable;
  gone_ = false;
  readable_ = true;  // until a read says otherwise
}

NetReceiver::Buffer& NetReceiver::BufferAt(std::size_t index) noexcept {
  return buffers_[(first_ + index) % kMostBuffers];
}

bool NetReceiver::Takes() const noexcept {
  const std::size_t pieces = end_piece_ - first_piece_;
  if (count_ == kMostBuffers || pieces + DescriptorChain::kMaximumPieces > kMostPieces) {
    return false;
  }
  return count_ < kBatch || held_bytes_ < packet_bytes_;
}

bool NetReceiver::Hold(DescriptorChain& chain) noexcept {
  const ScatterList list = chain.Writable();
  const std::uint64_t size_bytes = list.size_bytes();
  if (size_bytes < kNetHeaderBytes) return false;
  const std::span<const iovec> added = list.pieces();
  if (end_piece_ + added.size() > kMostPieces) {
    std::copy(pieces_.begin() + static_cast<std::ptrdiff_t>(first_piece_),
              pieces_.begin() + static_cast<std::ptrdiff_t>(end_piece_), pieces_.begin());
    end_piece_ -= first_piece_;
    first_piece_ = 0;
  }
  // One, nearly always: std::copy would be a call.
  for (const iovec& piece : added) pieces_[end_piece_++] = piece;
  BufferAt(count_++) = {.head = chain.head(),
                        .pieces = static_cast<std::uint16_t>(added.size()),
                        .size_bytes = static_cast<std::uint32_t>(size_bytes)};
  held_bytes_ += size_bytes;
  return true;
}

void NetReceiver::Forget() noexcept {
  first_ = count_ = 0;
  first_piece_ = end_piece_ = 0;
  held_bytes_ = 0;
  packet_bytes_ = 0;
  filled_ = 0;
}

std::optional<NetReceiver::Filled> NetReceiver::Next(const Fd& tap,
                                                     VirtioTraffic& traffic) noexcept {
  if (filled_ == 0) {
    if (packet_bytes_ == 0 && !Read(tap, traffic)) return std::nullopt;
    if (!Place(traffic)) return std::nullopt;
  }
  return GiveFirst();
}

// True if there is a packet then: its start in the first buffers, the rest, if any, in spill_.
bool NetReceiver::Read(const Fd& tap, VirtioTraffic& traffic) noexcept {
  if (!readable_ || gone_ || count_ == 0) return false;
  const std::size_t expected = expects_large_ ? spill_->size() : kPacketBytes;
  std::uint64_t gathered = 0;
  gathered_pieces_ = 0;
  for (std::size_t index = 0; index < (mergeable_ ? count_ : 1) && gathered < expected; ++index) {
    gathered += BufferAt(index).size_bytes;
    gathered_pieces_ += BufferAt(index).pieces;
  }
  iovec& behind = pieces_[first_piece_ + gathered_pieces_];
  const iovec kept = behind;
  behind = {spill_->data(), spill_->size()};
  // Without the C library's wrapper: it makes the call a place where the thread may be cancelled.
  const long result = ::syscall(SYS_readv, tap.get(), &pieces_[first_piece_], gathered_pieces_ + 1);
  const int error = errno;
  behind = kept;
  if (result < 0) return OnError(error);
  // The other end of what is no tap.
  if (std::cmp_less(result, kNetHeaderBytes)) {
    gone_ = result == 0;
    return false;
  }
  gathered_bytes_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(gathered, UINT32_MAX));
  packet_bytes_ = static_cast<std::uint32_t>(result);
  expects_large_ = packet_bytes_ > kPacketBytes;
  // What fills all there is may have been longer.
  if (packet_bytes_ < gathered_bytes_ + std::uint64_t{spill_->size()}) return true;
  Drop(traffic);
  return false;
}

bool NetReceiver::OnError(int error) noexcept {
  // A tap that is gone stays so, and would be readable all the time.
  const bool passes = error == EAGAIN || error == EINTR || error == ENOMEM || error == ENOBUFS;
  gone_ = !passes;
  readable_ = false;
  return false;
}

// True if the packet has its buffers then.
bool NetReceiver::Place(VirtioTraffic& traffic) noexcept {
  if (packet_bytes_ > gathered_bytes_) {
    if (mergeable_ && held_bytes_ < packet_bytes_ && Takes()) return false;
    if (!mergeable_ || held_bytes_ < packet_bytes_) {
      Drop(traffic);
      return false;
    }
    CopySpilled();
  }
  for (std::uint64_t bytes = 0; bytes < packet_bytes_; ++filled_) {
    bytes += BufferAt(filled_).size_bytes;
  }
  WriteBufferCount();
  traffic.bytes_read += packet_bytes_ - kNetHeaderBytes;
  return true;
}

void NetReceiver::CopySpilled() noexcept {
  const std::size_t start = first_piece_ + gathered_pieces_;
  ScatterList rest{std::span(pieces_).subspan(start, end_piece_ - start)};
  rest.PutFirst(std::span(*spill_).first(packet_bytes_ - gathered_bytes_));
}

// The pieces are not needed as they were: the packet is in them.
void NetReceiver::WriteBufferCount() noexcept {
  const auto number = static_cast<std::uint16_t>(filled_);
  const iovec& first = pieces_[first_piece_];
  if (first.iov_len >= kNetHeaderBytes) {
    std::memcpy(static_cast<std::byte*>(first.iov_base) + kBufferCountOffset, &number,
                sizeof(number));
    return;
  }
  ScatterList header{std::span(pieces_).subspan(first_piece_, BufferAt(0).pieces)};
  header.Skip(kBufferCountOffset);
  header.PutFirst(std::as_bytes(std::span(&number, 1)));
}

NetReceiver::Filled NetReceiver::GiveFirst() noexcept {
  const Buffer buffer = BufferAt(0);
  const std::uint32_t written = std::min(buffer.size_bytes, packet_bytes_);
  packet_bytes_ -= written;
  --filled_;
  held_bytes_ -= buffer.size_bytes;
  first_piece_ += buffer.pieces;
  first_ = (first_ + 1) % kMostBuffers;
  if (--count_ == 0) first_piece_ = end_piece_ = 0;
  return {buffer.head, written};
}

void NetReceiver::Drop(VirtioTraffic& traffic) noexcept {
  packet_bytes_ = 0;
  ++traffic.errors;
}

}  // namespace microvm
