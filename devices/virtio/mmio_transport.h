// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "devices/mmio_device.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtio_queues.h"

namespace microvm {

// The registers of a virtio device (virtio 1.2, 4.2: MMIO, version 2): its features, its status,
// and where its queues are. When those are served, VirtioQueues decides.
//
// What the registers read as is kept in memory, which the guest may read without an exit and cannot
// write. The driver's notifications do not come here but to the event loop, by an eventfd that KVM
// signals; one that is trapped signals it, too.
//
// The interrupt is an edge, each time a signal of the eventfd it was made with. Its reason is
// always that used buffers may have been put there: InterruptStatus says so for as long as the
// driver drives the device (4.2.3.4: the driver reads it once for each interrupt, and looks at its
// queues). So no news is lost between two edges, nobody has to wait for acknowledgements, and KVM
// may take them without an exit. That the device needs a reset is said until it is acknowledged.
//
// Registers are written by vCPU threads, the rest is the event loop's; one lock guards all. A vCPU
// that resets the device, or takes a queue back, waits for requests in flight without it.
class MmioTransport final : public MmioDevice {
 public:
  static constexpr std::uint64_t kSizeBytes = 0x1000;
  // Offset of the register whose writes, of 4 bytes, notify the device.
  static constexpr std::uint64_t kQueueNotify = 0x050;
  // Offset of InterruptACK, and the value, of 4 bytes, that KVM may take: that used buffers have
  // been seen, which is what a driver writes after each interrupt.
  static constexpr std::uint64_t kInterruptAcknowledge = 0x064;
  static constexpr std::uint32_t kUsedBufferSeen = 1;

  // `registers`: kSizeBytes for what they read as, the guest's read-only memory at their address.
  // All of them outlive it.
  MmioTransport(std::string name, VirtioDevice& device, const GuestRam& ram,
                std::span<std::byte> registers, const VirtioEvents& events);

  [[nodiscard]] std::string_view name() const override { return name_; }
  MmioResult Read(std::uint64_t offset, std::span<std::byte> out) noexcept override;
  MmioResult Write(std::uint64_t offset, std::span<const std::byte> in) noexcept override;

  // On the event loop, when the driver has notified the device. It does a share of what there is to
  // do; if there is more, it signals the notification itself.
  void OnNotified() noexcept;
  // Whether the device looks at a queue again by itself: then LookAgain is to be called soon.
  [[nodiscard]] bool LooksAgain() const noexcept;
  // On the event loop: as OnNotified, without a notification.
  void LookAgain() noexcept;
  // On the event loop, when a request has ended.
  void OnEnded() noexcept;
  // On the event loop, when the host's kernel has found that a queue it serves breaks the rules.
  void OnVhostError() noexcept;
  // On the event loop, when the device's input can be read.
  void OnInput(std::size_t input) noexcept;
  // The inputs that the device waits for, after each of these (VirtioDevice::AwaitedInputs).
  [[nodiscard]] std::uint32_t AwaitedInputs() const noexcept;

  // On the event loop (VirtioDevice::DropIdle).
  bool DropIdle() noexcept;

  // The guest has ended: nothing of its is begun any more until Reset, and vCPUs that wait for
  // requests in flight come back, their writes undone. Any thread.
  void Release() noexcept;
  // As when it was made, when there is no vCPU. False if requests are in flight still, which the
  // host has not ended in reasonable time: it uses the memory of these.
  bool Reset() noexcept;
  // Requests are in flight.
  [[nodiscard]] bool IsBusy() const noexcept;
  // A vCPU waits for them.
  [[nodiscard]] bool IsAwaited() const noexcept;

  [[nodiscard]] VirtioCounts counts() const;

 private:
  [[nodiscard]] bool WriteRegister(std::uint64_t offset, std::uint32_t value) noexcept;
  [[nodiscard]] bool WriteQueueRegister(std::uint64_t offset, std::uint32_t value) noexcept;
  void WriteStatus(std::uint32_t value) noexcept;
  void WriteReady(bool ready) noexcept;
  [[nodiscard]] std::uint64_t OfferedFeatures() const noexcept;
  // What a driver's reset does to the registers.
  void Clear() noexcept;
  void Fail() noexcept;
  void Show() noexcept;

  const std::string name_;
  VirtioDevice& device_;
  const std::span<std::byte> registers_;

  mutable std::mutex mutex_;  // guards all below, and the device
  VirtioQueues queues_;
  std::uint32_t status_ = 0;
  bool tells_failure_ = false;  // that it needs a reset, which is not acknowledged yet
  std::uint32_t device_features_select_ = 0;
  std::uint32_t driver_features_select_ = 0;
  std::uint64_t driver_features_ = 0;
  std::uint32_t queue_select_ = 0;
  std::uint64_t failures_ = 0;
};

}  // namespace microvm
