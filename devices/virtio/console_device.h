// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include "devices/byte_fifo.h"
#include "devices/console_port.h"
#include "devices/virtio/held_chains.h"
#include "devices/virtio/virtio_device.h"
#include "vmm/host/fd.h"

namespace microvm {

// A console (virtio 1.2, 5.3) with its one port, and emergency writes: bytes that a guest sends by
// the configuration space, before it has a driver or when that is of no more use. It has no size: a
// terminal at the host's end has one, which changes, and other ends do not.
//
// What the guest sends is taken at once, as far as there is room for it; Linux' driver waits for
// that without a break (drivers/char/virtio_console.c: __send_to_port). The rest stays in the
// guest's buffers until the host's end has taken some, and the driver waits. Input goes into the
// buffers that the driver has put there, and stays with its sender while there are none.
//
// No indirect descriptors, so that all that a driver can have given is held in little room.
//
// Its transport calls what is a VirtioDevice's, the event loop what is a ConsolePort's; one lock
// guards all state, and the transport's is taken before it.
class ConsoleDevice final : public VirtioDevice, public ConsolePort {
 public:
  // Both outlive it; `ended`, an eventfd, is signalled when NextEnded has something.
  ConsoleDevice(ConsoleHost& host, const Fd& ended) : host_(host), ended_(ended) {}

  [[nodiscard]] const VirtioProfile& profile() const override { return profile_; }
  Handled Handle(std::uint16_t queue, DescriptorChain& chain) noexcept override;
  std::optional<EndedRequest> NextEnded(bool wait) noexcept override;
  void Forget(std::uint16_t queue) noexcept override;
  bool WriteConfig(std::uint64_t offset, std::uint32_t value) noexcept override;
  [[nodiscard]] VirtioTraffic traffic() const noexcept override;

  std::size_t TakeTransmitted(std::span<std::uint8_t> out) noexcept override;
  std::size_t Receive(std::span<const std::uint8_t> in) noexcept override;

 private:
  Handled HandleReceive(DescriptorChain& chain) noexcept;
  Handled HandleTransmit(DescriptorChain& chain) noexcept;
  void TakeFromGuest() noexcept;
  void TellHost() noexcept;

  static constexpr std::size_t kTransmitBytes = 4096;
  static constexpr std::uint64_t kEmergencyWrite = std::uint64_t{1} << 2;  // 5.3.3

  const std::array<std::byte, 12> config_{};  // 5.3.4: all that is for other features
  const VirtioProfile profile_{.id = VirtioId::kConsole,
                               .features = kEmergencyWrite,
                               .queues = 2,
                               .indirect = false,
                               .config = config_};
  ConsoleHost& host_;
  const Fd& ended_;

  mutable std::mutex mutex_;  // guards all below
  HeldChains receive_;
  HeldChains transmit_;
  ByteFifo<kTransmitBytes> sent_;  // by the guest, and not taken by the host's end
  bool host_idle_ = true;          // the host's end awaits TransmitReady
  bool host_has_more_ = false;     // it awaits ReceiveReady
  VirtioTraffic traffic_;
};

}  // namespace microvm
