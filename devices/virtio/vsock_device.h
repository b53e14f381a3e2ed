// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "devices/virtio/vhost.h"
#include "devices/virtio/virtio_device.h"

namespace microvm {

struct VsockOptions {
  std::uint32_t cid = 0;       // the guest's
  std::optional<int> fd = {};  // the open /dev/vhost-vsock, which is taken over; else it is opened
};

// /dev/vhost-vsock with the guest's context identifier, which no other has while it is open. Throws
// a chain, with the remedy.
Fd OpenVsock(HostKernel& kernel, const VsockOptions& options);

// The kernel's vsock (drivers/vhost/vsock.c): both queues that carry data.
class VhostVsock final : public Vhost {
 public:
  // `device`: of OpenVsock.
  VhostVsock(Fd device, const GuestRam& ram, const VhostEvents& events);

 private:
  [[nodiscard]] bool SetServing(bool serving) noexcept override;
};

// Sockets between host and guest (virtio 1.2, 5.10), which are AF_VSOCK at both ends. The host's
// kernel serves the queues for data; the one for events is ours, and nothing ever comes of it: its
// one event is of a guest that has moved to another host.
class VsockDevice final : public VirtioDevice {
 public:
  VsockDevice(HostKernel& kernel, const VsockOptions& options, const GuestRam& ram,
              const VhostEvents& events);

  [[nodiscard]] const VirtioProfile& profile() const override { return profile_; }
  [[nodiscard]] Vhost* vhost() noexcept override { return &vhost_; }
  // Buffers for events.
  Handled Handle(std::uint16_t /*queue*/, DescriptorChain& /*chain*/) noexcept override {
    return {Handled::How::kLater};
  }
  [[nodiscard]] VirtioTraffic traffic() const noexcept override { return {}; }

 private:
  VhostVsock vhost_;
  std::array<std::byte, 8> config_;  // 5.10.4: struct virtio_vsock_config
  VirtioProfile profile_;
};

}  // namespace microvm
