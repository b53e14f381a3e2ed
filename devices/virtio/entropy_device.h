// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "devices/virtio/virtio_device.h"

namespace microvm {

// A source of entropy (virtio 1.2, 5.4): the host's own random numbers, getrandom(2). A request
// gets at most kRequestBytes, which is no error: a driver asks for more.
class EntropyDevice final : public VirtioDevice {
 public:
  static constexpr std::size_t kRequestBytes = 4096;

  [[nodiscard]] const VirtioProfile& profile() const override { return profile_; }
  Handled Handle(std::uint16_t queue, DescriptorChain& chain) noexcept override;

  [[nodiscard]] VirtioTraffic traffic() const noexcept override { return traffic_; }

 private:
  VirtioProfile profile_{.id = VirtioId::kEntropy};
  VirtioTraffic traffic_;
};

}  // namespace microvm
