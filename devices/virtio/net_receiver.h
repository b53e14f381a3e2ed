// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "devices/virtio/tap.h"
#include "devices/virtio/virtio_device.h"
#include "vmm/host/fd.h"

namespace microvm {

// The device's end of a receive queue of a network device (virtio 1.2, 5.1.6.3 and 5.1.6.4): holds
// some of the driver's buffers, and has packets of a tap read straight into them. What of a packet
// is behind the buffers that it was expected to fill comes by a piece of memory of its own, so that
// no packet is lost for want of buffers, and a small one does not take the pieces of a large one.
// No thread may call it while another does.
class NetReceiver {
 public:
  NetReceiver();

  // A packet may fill several buffers (VIRTIO_NET_F_MRG_RXBUF), or has to fit into one.
  void Start(bool mergeable) noexcept;

  // Whether another buffer is of use now.
  [[nodiscard]] bool Takes() const noexcept;
  // Only when it takes one. False if it is not even large enough for a header.
  [[nodiscard]] bool Hold(DescriptorChain& chain) noexcept;
  // The driver has them back.
  void Forget() noexcept;

  // Nothing is read before the tap can be read.
  [[nodiscard]] bool AwaitsTap() const noexcept {
    return count_ > 0 && packet_bytes_ == 0 && !gone_;
  }
  void OnReadable() noexcept { readable_ = true; }

  struct Filled {
    std::uint16_t head;
    std::uint32_t written_bytes;
  };
  // A buffer that was filled; those of one packet come one behind the other.
  std::optional<Filled> Next(const Fd& tap, VirtioTraffic& traffic) noexcept;

 private:
  // 5.1.6.3.1: the largest packet with segments, which may have VLAN tags.
  using LargePacket = std::array<std::byte, 65550 + kNetHeaderBytes + 8>;

  struct Buffer {
    std::uint16_t head;
    std::uint16_t pieces;
    std::uint32_t size_bytes;
  };

  [[nodiscard]] Buffer& BufferAt(std::size_t index) noexcept;
  [[nodiscard]] bool Read(const Fd& tap, VirtioTraffic& traffic) noexcept;
  [[nodiscard]] bool OnError(int error) noexcept;
  [[nodiscard]] bool Place(VirtioTraffic& traffic) noexcept;
  void CopySpilled() noexcept;
  void WriteBufferCount() noexcept;
  Filled GiveFirst() noexcept;
  void Drop(VirtioTraffic& traffic) noexcept;

  std::vector<iovec> pieces_;  // of the buffers, one behind the other
  std::size_t first_piece_ = 0;
  std::size_t end_piece_ = 0;
  std::vector<Buffer> buffers_;  // a ring
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::uint64_t held_bytes_ = 0;

  std::unique_ptr<LargePacket> spill_;  // what of a packet was read behind its buffers
  std::uint32_t packet_bytes_ = 0;    // that was read and has no buffers, or not all back; or none
  std::uint32_t gathered_bytes_ = 0;  // of its buffers before it was read
  std::size_t gathered_pieces_ = 0;
  std::size_t filled_ = 0;  // buffers of it that are still to be given back

  bool mergeable_ = false;
  bool readable_ = false;  // the tap, as far as is known: else nothing is tried
  bool gone_ = false;      // the tap
  bool expects_large_ = false;
};

}  // namespace microvm
