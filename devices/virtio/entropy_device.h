// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "devices/virtio/virtio_device.h"
#include "vmm/host/fd.h"

namespace microvm {

// A source of entropy (virtio 1.2, 5.4): the host's own random numbers, getrandom(2). A request
// gets at most kRequestBytes, which is no error: a driver asks for more. It gets at least one
// (5.4.6.1): requests to a host that has just booted, and has none yet, wait in the queue.
class EntropyDevice final : public VirtioDevice {
 public:
  static constexpr std::size_t kRequestBytes = 4096;

  // `awaited` can be read when the host has random numbers; nothing: it has.
  explicit EntropyDevice(Fd awaited = Fd())
      : awaited_(std::move(awaited)), has_random_(!awaited_) {}

  [[nodiscard]] const VirtioProfile& profile() const override { return profile_; }
  Handled Handle(std::uint16_t queue, DescriptorChain& chain) noexcept override;
  [[nodiscard]] bool Takes(std::uint16_t /*queue*/) const noexcept override { return has_random_; }

  [[nodiscard]] std::vector<int> inputs() const override;
  [[nodiscard]] std::uint32_t AwaitedInputs() const noexcept override {
    return has_random_ ? 0 : 1;
  }
  void OnInput(std::size_t /*input*/) noexcept override { has_random_ = true; }

  [[nodiscard]] VirtioTraffic traffic() const noexcept override { return traffic_; }

 private:
  VirtioProfile profile_{.id = VirtioId::kEntropy};
  const Fd awaited_;
  bool has_random_;
  VirtioTraffic traffic_;
};

}  // namespace microvm
