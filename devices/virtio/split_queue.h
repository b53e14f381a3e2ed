// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "devices/virtio/descriptor_chain.h"
#include "vmm/memory/guest_ram.h"

namespace microvm {

// Where a driver has put a queue, as it says.
struct QueueLayout {
  std::uint16_t size = 0;  // entries
  GuestAddress descriptors;
  GuestAddress available;
  GuestAddress used;
};

// The same, found in RAM.
struct QueueParts {
  std::uint16_t size = 0;
  const std::byte* descriptors = nullptr;
  const std::byte* available = nullptr;
  const std::byte* used = nullptr;
};

// What driver and device agreed on for queues (virtio 1.2, 6).
struct QueueFeatures {
  bool indirect = false;     // VIRTIO_F_INDIRECT_DESC
  bool event_index = false;  // VIRTIO_F_EVENT_IDX
};

// The device's end of a split virtqueue (virtio 1.2, 2.7). Everything in it is the driver's, and
// may change at any time: each value is read once, and checked before it is used. No thread may
// call it while another does.
class SplitQueue {
 public:
  static constexpr std::uint16_t kMaximumSize = DescriptorChain::kMaximumPieces;

  // From now on the queue at `layout` is served; false, and it is not, if there can be none: a size
  // that is no power of two or too large, a part that is misaligned or not in RAM.
  [[nodiscard]] bool Start(const GuestRam& ram, const QueueLayout& layout,
                           const QueueFeatures& features) noexcept;
  void Stop() noexcept { ram_ = nullptr; }
  [[nodiscard]] bool running() const { return ram_ != nullptr; }
  // Of one that is served: for who serves it in our place, and then alone.
  [[nodiscard]] QueueParts parts() const {
    return {size_, descriptors_.data(), available_.data(), used_.data()};
  }

  enum class Next {
    kChain,    // there was one: it is in `chain`
    kNothing,  // the driver has put nothing there
    kBroken,   // what the driver put there breaks the rules: only a reset helps (2.1.2)
  };
  [[nodiscard]] Next Take(DescriptorChain& chain) noexcept;

  // Says that the device is done with a chain that was taken, and has written so many bytes to it.
  // The driver sees it after Publish.
  void GiveBack(std::uint16_t head, std::uint32_t written_bytes) noexcept;
  // Shows the driver what was given back; true if it wants to be interrupted for it.
  [[nodiscard]] bool Publish() noexcept;

  // Notifications are not needed until AwaitNotification, which is true if the driver has put
  // something there in the meantime for which it may not notify.
  void IgnoreNotifications() noexcept;
  [[nodiscard]] bool AwaitNotification() noexcept;

 private:
  struct Descriptor;
  struct Table;

  [[nodiscard]] bool Walk(std::uint16_t head, DescriptorChain& chain) const noexcept;
  [[nodiscard]] std::optional<Table> IndirectTable(const Descriptor& descriptor) const noexcept;

  const GuestRam* ram_ = nullptr;  // null: not running
  QueueFeatures features_;
  std::uint16_t size_ = 0;
  std::span<std::byte> descriptors_;
  std::span<std::byte> available_;
  std::span<std::byte> used_;
  std::uint16_t next_available_ = 0;  // these three count on and wrap, as the rings' indexes do
  std::uint16_t next_used_ = 0;
  std::uint16_t published_ = 0;
  std::uint16_t in_flight_ = 0;  // taken and not given back
};

}  // namespace microvm
