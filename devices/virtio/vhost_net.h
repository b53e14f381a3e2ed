// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "devices/virtio/vhost.h"

namespace microvm {

// /dev/vhost-net. Throws a chain, with the remedy.
Fd OpenVhostNet(HostKernel& kernel);

// The kernel's own way between a pair of queues and a tap (drivers/vhost/net.c). Packets go as they
// are, behind the header that the tap and the guest agree on; of offloads the kernel's vhost knows
// nothing.
class VhostNet final : public Vhost {
 public:
  // `device`: of OpenVhostNet. `tap` outlives it.
  VhostNet(Fd device, const Fd& tap, const GuestRam& ram, const VhostEvents& events);

 private:
  [[nodiscard]] bool SetServing(bool serving) noexcept override;

  const Fd& tap_;
};

}  // namespace microvm
