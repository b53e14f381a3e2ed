// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/vhost_net.h"

#include <utility>

#include "devices/virtio/vhost_uapi.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::size_t kPair = 2;  // one to receive, one to transmit

}  // namespace

Fd OpenVhostNet(HostKernel& kernel) {
  Fd device = OpenDeviceFile(
      kernel, "/dev/vhost-net",
      Error("no permission to use vhost-net",
            "run as root, or give the user access: setfacl -m u:USER:rw /dev/vhost-net, or remove "
            "'vhost'"),
      Error("this host offers no vhost-net",
            "load it: modprobe vhost_net; the kernel needs CONFIG_VHOST_NET; or remove 'vhost'"));
  static_cast<void>(VhostFeatures(device));
  return device;
}

VhostNet::VhostNet(Fd device, const Fd& tap, const GuestRam& ram, const VhostEvents& events)
    : Vhost(std::move(device), kPair, ram, events), tap_(tap) {}

bool VhostNet::SetServing(bool serving) noexcept {
  bool all = true;
  for (std::uint32_t queue = 0; queue < kPair; ++queue) {
    vhost_vring_file backend{.index = queue, .fd = serving ? tap_.get() : VHOST_FILE_UNBIND};
    if (!Tell(VHOST_NET_SET_BACKEND, &backend)) all = false;
  }
  return all;
}

}  // namespace microvm
