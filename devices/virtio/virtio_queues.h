// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "devices/virtio/split_queue.h"
#include "devices/virtio/virtio_device.h"
#include "vmm/host/fd.h"

namespace microvm {

// What a device's queues have counted since they were made.
struct VirtioCounts {
  std::uint64_t requests = 0;       // given back to the driver
  std::uint64_t notifications = 0;  // wake-ups by the driver's
  std::uint64_t interrupts = 0;
  std::uint64_t failures = 0;  // times the driver was told to reset the device (2.1.2)
  VirtioTraffic traffic;
};

// The eventfds of a device; they outlive it.
struct VirtioEvents {
  const Fd& notification;  // has the event loop call OnNotified
  const Fd& interrupt;     // interrupts the guest
};

// The queues of a virtio device, and when they are served: as the driver notifies, as requests end,
// as the host has something for the device; or by the host's kernel (vhost), which has its own
// queues from Start to Halt.
//
// A queue that is taken back, and a reset, are done when nothing is in flight any more: the driver
// takes the memory back when its write is done. Until then the vCPU that writes waits, for as long
// as the host's disk takes, and nothing is begun.
//
// One thread at a time, by a mutex of the transport's, which those that wait give up meanwhile: the
// event loop, and the other vCPUs, go on.
class VirtioQueues {
 public:
  // All of them outlive it.
  VirtioQueues(VirtioDevice& device, const GuestRam& ram, const VirtioEvents& events);

  [[nodiscard]] std::size_t size() const { return queues_.size(); }
  // Of these the index is less than size().
  [[nodiscard]] bool IsReady(std::size_t index) const { return queues_[index].ring.running(); }
  // Where the driver puts a queue, for one that is not ready.
  [[nodiscard]] QueueLayout& layout(std::size_t index) { return queues_[index].layout; }
  // The driver has put a queue there, which is not ready; false if there can be none.
  [[nodiscard]] bool SetReady(std::size_t index, const QueueFeatures& features) noexcept;
  // The driver takes a queue back; not done if Release comes before.
  void TakeBack(std::size_t index, std::mutex& held) noexcept;

  // The driver is ready, and has agreed on these features, the transport's included: serves its
  // queues. False if the host's kernel does not.
  [[nodiscard]] bool Start(std::uint64_t features) noexcept;
  // Nothing is begun any more before the next Start.
  void Halt() noexcept;
  // The driver resets the device: as when it was made, and requests in flight end as soon as they
  // can. False, and it is not done, if Release comes before.
  [[nodiscard]] bool Reset(std::mutex& held) noexcept;

  // The driver notifies the device of a queue, by an exit.
  void Notify(std::uint32_t queue) noexcept;
  // These are the event loop's, when the driver has notified the device, when a request has ended,
  // when the device's input can be read. They do a share of what there is to do; if there is more,
  // they signal the notification themselves. False once the driver has broken the rules: nothing of
  // its is begun any more, and only a reset helps (2.1.2).
  [[nodiscard]] bool OnNotified() noexcept;
  [[nodiscard]] bool OnEnded() noexcept;
  [[nodiscard]] bool OnInput(std::size_t input) noexcept;
  // The device looks at a queue again by itself: then this is to be called soon, as OnNotified.
  [[nodiscard]] bool LooksAgain() const noexcept;
  [[nodiscard]] bool LookAgain() noexcept;
  // The inputs that the device waits for, after each of these (VirtioDevice::AwaitedInputs).
  [[nodiscard]] std::uint32_t AwaitedInputs() const noexcept;
  void Interrupt() noexcept;

  // The guest has ended: nothing of its is begun any more until End, and vCPUs that wait come back.
  void Release() noexcept;
  // As when they were made, when there is no vCPU. False if requests are in flight still, which the
  // host has not ended in reasonable time: it uses the memory of these.
  bool End() noexcept;
  // Requests are in flight.
  [[nodiscard]] bool IsBusy() const noexcept { return device_.IsBusy(); }
  // A vCPU waits for them.
  [[nodiscard]] bool IsAwaited() const noexcept { return waiting_ > 0; }

  // But for the failures, which are the transport's.
  [[nodiscard]] VirtioCounts counts() const;

 private:
  struct Queue {
    SplitQueue ring;
    QueueLayout layout;
    bool waits = false;        // there may be more, for which the device has no room
    bool looks_again = false;  // notifications are not awaited
  };

  [[nodiscard]] bool Serves() const noexcept;
  [[nodiscard]] bool Serve(std::uint16_t index) noexcept;
  [[nodiscard]] bool TakeEnded() noexcept;
  void PublishAll() noexcept;
  [[nodiscard]] std::span<const Fd> Kicks() const noexcept;
  [[nodiscard]] bool StartVhost(std::uint64_t features) noexcept;
  [[nodiscard]] bool AwaitRest(std::mutex& held) noexcept;
  void Clear() noexcept;

  VirtioDevice& device_;
  const GuestRam& ram_;
  const VirtioEvents events_;
  std::vector<Queue> queues_;
  DescriptorChain chain_;  // the one that is being handled
  bool started_ = false;
  bool broken_ = false;                // the driver's rules
  bool released_ = false;              // nobody is to wait, nothing is begun
  unsigned waiting_ = 0;               // vCPUs; nothing is begun meanwhile
  std::condition_variable_any ended_;  // a request has, or nobody is to wait for one
  VirtioCounts counts_;
};

}  // namespace microvm
