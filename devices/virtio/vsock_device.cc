// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/vsock_device.h"

#include <bit>
#include <cerrno>
#include <string>
#include <utility>

#include "devices/virtio/vhost_uapi.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

// virtio 1.2, 5.10.2 and 5.10.3: rx, tx, event; VIRTIO_VSOCK_F_SEQPACKET.
constexpr std::uint16_t kQueues = 3;
constexpr std::size_t kDataQueues = 2;
constexpr std::uint64_t kSeqpacket = 1U << 1;

constexpr const char* kPath = "/dev/vhost-vsock";

Fd OpenDevice(HostKernel& kernel) {
  return OpenDeviceFile(
      kernel, kPath,
      Error("no permission to use vhost-vsock",
            std::string("run as root, or give the user access: setfacl -m u:USER:rw ") + kPath),
      Error("this host offers no vhost-vsock",
            "load it: modprobe vhost_vsock; the kernel needs CONFIG_VHOST_VSOCK"));
}

void SetGuestCid(const Fd& device, std::uint32_t guest_cid) {
  std::uint64_t cid = guest_cid;
  try {
    CheckedIoctl(device, IOCTL_CODE(VHOST_VSOCK_SET_GUEST_CID), &cid);
  } catch (const std::exception& error) {
    const std::string number = std::to_string(guest_cid);
    switch (ErrnoOf(error)) {
      case EADDRINUSE:
        std::throw_with_nested(Error(
            "another machine has the CID " + number + ", or the host itself",
            "give each machine of the host a 'cid' of its own in [vsock], or stop the other"));
      case ENOTTY:
        std::throw_with_nested(
            Error("the descriptor is not one of vhost-vsock",
                  std::string("start microvm with ") + kPath + " open as 'vhost_fd'"));
      default:
        std::throw_with_nested(Error("the kernel refuses the CID " + number));
    }
  }
}

}  // namespace

Fd OpenVsock(HostKernel& kernel, const VsockOptions& options) {
  return WithContext(Error("vsock"), [&] {
    Fd device = options.fd ? Fd(kernel, *options.fd) : OpenDevice(kernel);
    SetGuestCid(device, options.cid);
    static_cast<void>(VhostFeatures(device));
    return device;
  });
}

VhostVsock::VhostVsock(Fd device, const GuestRam& ram, const VhostEvents& events)
    : Vhost(std::move(device), kDataQueues, ram, events) {}

bool VhostVsock::SetServing(bool serving) noexcept {
  int running = serving ? 1 : 0;
  return Tell(VHOST_VSOCK_SET_RUNNING, &running);
}

VsockDevice::VsockDevice(HostKernel& kernel, const VsockOptions& options, const GuestRam& ram,
                         const VhostEvents& events)
    : vhost_(OpenVsock(kernel, options), ram, events),
      config_(std::bit_cast<std::array<std::byte, 8>>(std::uint64_t{options.cid})),
      profile_{.id = VirtioId::kVsock,
               .features = vhost_.features() & kSeqpacket,
               .queues = kQueues,
               .config = config_} {}

}  // namespace microvm
