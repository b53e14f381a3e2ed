// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "devices/virtio/net_receiver.h"
#include "devices/virtio/tap.h"
#include "devices/virtio/vhost_net.h"
#include "devices/virtio/virtio_device.h"

namespace microvm {

using MacAddress = std::array<std::uint8_t, 6>;

// A network device (virtio 1.2, 5.1) over a tap: as many pairs of queues as the tap has. Packets go
// between the guest's memory and the tap in one system call each, with what was agreed on of
// checksums and segments left to whoever has to do it at last. What the host does not take is lost,
// as on a wire; so is all when the tap is gone.
//
// A guest that sends and sends is not asked to notify for each packet, which would cost it more
// than the packet does. One that waits for answers is: looking again later would delay it.
class NetDevice final : public VirtioDevice {
 public:
  // With `vhost`, of /dev/vhost-net, the host's kernel carries the packets of the one pair that
  // there is then.
  NetDevice(Tap tap, const MacAddress& mac, std::optional<VhostParts> vhost = std::nullopt);
  NetDevice(const NetDevice&) = delete;
  NetDevice& operator=(const NetDevice&) = delete;
  NetDevice(NetDevice&&) = delete;
  NetDevice& operator=(NetDevice&&) = delete;
  // The tap may outlive this program, and have a reader then that knows nothing of segments.
  ~NetDevice() override { tap_.SetOffloads(0); }

  [[nodiscard]] const VirtioProfile& profile() const override { return profile_; }
  void Start(std::uint64_t features) noexcept override;
  Handled Handle(std::uint16_t queue, DescriptorChain& chain) noexcept override;
  [[nodiscard]] bool Takes(std::uint16_t queue) const noexcept override;
  std::optional<EndedRequest> NextEnded(bool wait) noexcept override;
  void Forget(std::uint16_t queue) noexcept override;
  [[nodiscard]] bool LooksAgain(std::uint16_t queue, bool served) noexcept override;

  [[nodiscard]] Vhost* vhost() noexcept override { return vhost_ ? &*vhost_ : nullptr; }
  [[nodiscard]] std::vector<int> inputs() const override;
  [[nodiscard]] std::uint32_t AwaitedInputs() const noexcept override;
  void OnInput(std::size_t input) noexcept override;

  [[nodiscard]] VirtioTraffic traffic() const noexcept override { return traffic_; }

 private:
  void MakeProfile(const MacAddress& mac);
  [[nodiscard]] bool IsReceive(std::uint16_t queue) const noexcept;
  void Transmit(std::size_t pair, const ScatterList& packet) noexcept;
  Handled Control(DescriptorChain& chain) noexcept;
  [[nodiscard]] bool Command(ScatterList& command) noexcept;
  [[nodiscard]] bool UsePairs(std::size_t count) noexcept;

  Tap tap_;
  std::optional<VhostNet> vhost_;
  std::vector<NetReceiver> receivers_;  // one for each pair
  std::array<std::byte, 12> config_{};
  VirtioProfile profile_;
  std::uint64_t features_ = 0;        // agreed on
  std::uint16_t control_queue_ = 2;   // 5.1.2: behind all pairs that could be used
  std::size_t pairs_ = 1;             // in use
  std::vector<unsigned> unanswered_;  // of each pair: times the guest sent, and nothing came
  VirtioTraffic traffic_;
};

}  // namespace microvm
