// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/split_queue.h"

#include <atomic>
#include <bit>
#include <cstring>
#include <utility>

namespace microvm {
namespace {

// virtio 1.2, 2.7.5: struct virtq_desc and its flags.
constexpr std::size_t kDescriptorBytes = 16;
constexpr std::uint16_t kFlagNext = 1;
constexpr std::uint16_t kFlagWrite = 2;
constexpr std::uint16_t kFlagIndirect = 4;
// 2.7.6 and 2.7.8: struct virtq_avail and virtq_used. Flags, index, then the ring, then, with event
// indexes, the other side's.
constexpr std::size_t kFlags = 0;
constexpr std::size_t kIndex = 2;
constexpr std::size_t kRing = 4;
constexpr std::size_t kAvailableBytes = 2;
constexpr std::size_t kUsedBytes = 8;
constexpr std::size_t kEventBytes = 2;
constexpr std::uint16_t kNoInterrupt = 1;
constexpr std::uint16_t kNoNotify = 1;

static_assert(std::endian::native == std::endian::little, "virtio's fields are little-endian");

// The parts of a queue are aligned in the guest (2.7), and so here: RAM starts at a page.
template <typename Value>
std::atomic_ref<Value> At(std::span<std::byte> part, std::size_t offset) {
  return std::atomic_ref<Value>(*reinterpret_cast<Value*>(&part[offset]));
}

std::size_t AvailableSize(std::uint16_t size) {
  return kRing + kAvailableBytes * size + kEventBytes;
}
std::size_t UsedSize(std::uint16_t size) { return kRing + kUsedBytes * size + kEventBytes; }

}  // namespace

struct SplitQueue::Descriptor {
  std::uint64_t address;
  std::uint32_t length_bytes;
  std::uint16_t flags;
  std::uint16_t next;
};

// Descriptors: the queue's own, or those that one of them leads to.
struct SplitQueue::Table {
  std::span<const std::byte> bytes;

  [[nodiscard]] std::size_t count() const { return bytes.size() / kDescriptorBytes; }
  [[nodiscard]] Descriptor Read(std::size_t index) const {
    static_assert(sizeof(Descriptor) == kDescriptorBytes);
    Descriptor descriptor;
    // An indirect table may lie anywhere.
    std::memcpy(&descriptor, &bytes[index * kDescriptorBytes], sizeof(descriptor));
    // What was read is what is used: the compiler may not look there again.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return descriptor;
  }
};

bool SplitQueue::Start(const GuestRam& ram, const QueueLayout& layout,
                       const QueueFeatures& features) noexcept {
  if (layout.size > kMaximumSize || !std::has_single_bit(layout.size)) return false;
  // 2.7: their alignments.
  if (layout.descriptors.value % 16 != 0 || layout.available.value % 2 != 0 ||
      layout.used.value % 4 != 0) {
    return false;
  }
  descriptors_ = ram.Find(layout.descriptors, kDescriptorBytes * layout.size);
  available_ = ram.Find(layout.available, AvailableSize(layout.size));
  used_ = ram.Find(layout.used, UsedSize(layout.size));
  if (descriptors_.empty() || available_.empty() || used_.empty()) return false;
  features_ = features;
  size_ = layout.size;
  next_available_ = next_used_ = published_ = in_flight_ = 0;
  ram_ = &ram;
  return true;
}

SplitQueue::Next SplitQueue::Take(DescriptorChain& chain) noexcept {
  const std::uint16_t index = At<std::uint16_t>(available_, kIndex).load(std::memory_order_acquire);
  const auto waiting = static_cast<std::uint16_t>(index - next_available_);
  if (waiting == 0) return Next::kNothing;
  // A driver has at most as many chains out as the queue has entries.
  if (waiting > size_ || in_flight_ == size_) return Next::kBroken;
  const std::size_t entry = next_available_ % size_;
  const std::uint16_t head = At<std::uint16_t>(available_, kRing + kAvailableBytes * entry)
                                 .load(std::memory_order_relaxed);
  chain.Begin(head);
  if (!Walk(head, chain)) return Next::kBroken;
  ++next_available_;
  ++in_flight_;
  return Next::kChain;
}

bool SplitQueue::Walk(std::uint16_t head, DescriptorChain& chain) const noexcept {
  Table table{descriptors_};
  bool indirect = false;
  std::size_t index = head;
  // A chain that visits more descriptors than there are visits one twice.
  for (std::size_t visited = 0; visited < table.count();) {
    if (index >= table.count()) return false;
    const Descriptor descriptor = table.Read(index);
    if ((descriptor.flags & kFlagIndirect) != 0) {
      const auto inner = indirect ? std::nullopt : IndirectTable(descriptor);
      if (!inner) return false;
      table = *inner;
      indirect = true;
      index = visited = 0;
      continue;
    }
    const std::span<std::byte> piece = ram_->Find({descriptor.address}, descriptor.length_bytes);
    if (piece.size() != descriptor.length_bytes) return false;
    const bool writable = (descriptor.flags & kFlagWrite) != 0;
    if (!piece.empty() && !chain.Add(piece, writable)) return false;
    if ((descriptor.flags & kFlagNext) == 0) return true;
    index = descriptor.next;
    ++visited;
  }
  return false;
}

std::optional<SplitQueue::Table> SplitQueue::IndirectTable(
    const Descriptor& descriptor) const noexcept {
  // 2.7.5.3.1: agreed on, and the last of its chain; no longer than a queue may be.
  const std::uint32_t length = descriptor.length_bytes;
  if (!features_.indirect || (descriptor.flags & kFlagNext) != 0 ||
      length % kDescriptorBytes != 0 || length > kDescriptorBytes * kMaximumSize) {
    return std::nullopt;
  }
  const std::span<std::byte> bytes = ram_->Find({descriptor.address}, length);
  if (bytes.empty()) return std::nullopt;
  return Table{bytes};
}

void SplitQueue::GiveBack(std::uint16_t head, std::uint32_t written_bytes) noexcept {
  const std::size_t element = kRing + kUsedBytes * (next_used_ % size_);
  At<std::uint32_t>(used_, element).store(head, std::memory_order_relaxed);
  At<std::uint32_t>(used_, element + 4).store(written_bytes, std::memory_order_relaxed);
  ++next_used_;
  --in_flight_;
}

bool SplitQueue::Publish() noexcept {
  if (next_used_ == published_) return false;
  At<std::uint16_t>(used_, kIndex).store(next_used_, std::memory_order_release);
  // Before the driver's wish is read: it states it, then looks at the index once more (2.7.10).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::uint16_t before = std::exchange(published_, next_used_);
  if (!features_.event_index) {
    const auto flags = At<std::uint16_t>(available_, kFlags).load(std::memory_order_relaxed);
    return (flags & kNoInterrupt) == 0;
  }
  const std::uint16_t event = At<std::uint16_t>(available_, kRing + kAvailableBytes * size_)
                                  .load(std::memory_order_relaxed);
  // Whether the index has passed the event since the last time (linux/virtio_ring.h:
  // vring_need_event).
  return static_cast<std::uint16_t>(next_used_ - event - 1) <
         static_cast<std::uint16_t>(next_used_ - before);
}

void SplitQueue::IgnoreNotifications() noexcept {
  // With event indexes there is none but for the entry that was last waited for.
  if (features_.event_index) return;
  At<std::uint16_t>(used_, kFlags).store(kNoNotify, std::memory_order_relaxed);
}

bool SplitQueue::AwaitNotification() noexcept {
  if (features_.event_index) {
    At<std::uint16_t>(used_, kRing + kUsedBytes * size_)
        .store(next_available_, std::memory_order_relaxed);
  } else {
    At<std::uint16_t>(used_, kFlags).store(0, std::memory_order_relaxed);
  }
  // The driver puts an entry there, then reads this (2.7.13.3).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return At<std::uint16_t>(available_, kIndex).load(std::memory_order_acquire) != next_available_;
}

}  // namespace microvm
