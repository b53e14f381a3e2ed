// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "devices/virtio/disk_image.h"
#include "devices/virtio/disk_io.h"
#include "devices/virtio/virtio_device.h"

namespace microvm {

struct BlockOptions {
  std::string serial;  // at most kSerialBytes
  std::uint16_t queues = 1;
  std::span<std::byte> locked;  // the guest's RAM, if it is locked
};

// A block device (virtio 1.2, 5.2). Whatever the host does not do, whole, is an I/O error to the
// guest, and nothing else: a short read, a full file system, a file that was cut off.
class BlockDevice final : public VirtioDevice {
 public:
  static constexpr std::size_t kSerialBytes = 20;

  // `ended`, an eventfd that is signalled when a request has ended, outlives it. Throws a chain.
  BlockDevice(DiskImage image, const BlockOptions& options, const Fd& ended);

  [[nodiscard]] const VirtioProfile& profile() const override { return profile_; }
  void Start(std::uint64_t features) noexcept override;
  Handled Handle(std::uint16_t queue, DescriptorChain& chain) noexcept override;
  void Submit() noexcept override { io_.Submit(); }
  bool DropIdle() noexcept override { return io_.DropIdle(); }
  std::optional<EndedRequest> NextEnded(bool wait) noexcept override;
  [[nodiscard]] bool IsBusy() const noexcept override { return io_.IsBusy(); }
  void Cancel() noexcept override {
    canceled_ = true;
    io_.Cancel();
  }

  [[nodiscard]] VirtioTraffic traffic() const noexcept override { return traffic_; }

 private:
  // A request that is under way.
  struct Request {
    std::uint16_t queue = 0;
    std::uint16_t head = 0;
    std::byte* status = nullptr;  // where the guest looks for how it went
    DiskOperation operation{};
    bool keeps_room = false;  // a range to be zeroed may not give its room away
  };
  struct Header;
  struct Range;

  void MakeConfig(const BlockOptions& options);
  [[nodiscard]] bool IsInside(std::uint64_t sector, std::uint64_t length_bytes) const noexcept;
  Handled Transfer(Request& request, const Header& header, const ScatterList& data) noexcept;
  Handled ZeroOrDiscard(Request& request, const Header& header, ScatterList& data) noexcept;
  Handled SendIdentity(const Request& request, ScatterList& data) noexcept;
  // `request` is that of the tag to be used next.
  Handled Begin(Request& request, std::span<const iovec> pieces) noexcept;
  // What is to be done instead of an operation the host does not have, or after one that has ended
  // well; false if the request has ended.
  [[nodiscard]] static bool Continue(Request& request, std::int64_t result) noexcept;
  Handled End(const Request& request, std::int64_t result) noexcept;
  Handled Answer(const Request& request, std::uint8_t status, std::uint32_t data_bytes) noexcept;

  const DiskImage image_;
  std::array<std::byte, kSerialBytes> serial_{};
  std::array<std::byte, 60> config_{};
  VirtioProfile profile_;
  bool writes_through_ = true;  // the driver does not flush
  bool canceled_ = false;       // what is in flight is not gone on with
  VirtioTraffic traffic_;
  std::vector<Request> requests_;  // under way, by their tags
  std::vector<std::uint32_t> free_tags_;
  DiskIo io_;
};

}  // namespace microvm
