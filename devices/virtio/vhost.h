// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "devices/virtio/split_queue.h"
#include "vmm/host/fd.h"
#include "vmm/memory/guest_ram.h"

namespace microvm {

// Where a device's queues in the host's kernel meet the rest of the machine. They outlive it.
struct VhostEvents {
  const Fd& interrupt;  // signalled by the kernel when the driver wants an interrupt
  const Fd& error;      // signalled by the kernel when a queue breaks the rules
};

// What a device needs to have queues in the kernel.
struct VhostParts {
  Fd device;  // open, of the kind
  const GuestRam& ram;
  VhostEvents events;
};

// The first queues of a virtio device, served by the host's kernel (linux/vhost.h;
// drivers/vhost/vhost.c): it reads and writes the guest's RAM by itself, wakes up by the eventfds
// that KVM signals for the driver's notifications, and signals the one that KVM has the guest
// interrupted by. What kind of device it is, its heir says.
//
// The kernel knows of the guest's memory what it was told when this was made, which is RAM and
// nothing else, and looks up there each address that it finds in a descriptor. The parts of a queue
// it is given as addresses of this process, which SplitQueue has found to be in that RAM.
//
// One thread at a time.
class Vhost {
 public:
  static constexpr std::size_t kMaximumQueues = 2;

  Vhost(const Vhost&) = delete;
  Vhost& operator=(const Vhost&) = delete;
  Vhost(Vhost&&) = delete;
  Vhost& operator=(Vhost&&) = delete;
  virtual ~Vhost() = default;

  // What the kernel offers, features of queues included. It is for the heir to say what of it, of
  // its kind of device, a driver may agree on.
  [[nodiscard]] std::uint64_t features() const { return features_; }
  // One for each queue that the kernel serves: what signals it notifies the kernel of the queue.
  [[nodiscard]] std::span<const Fd> kicks() const { return kicks_; }

  // The driver is ready, has agreed on `features`, of which the kernel is told those that it
  // offers, and put the queues there, as many as there are kicks: the kernel serves them until
  // Stop. False if it does not, and then it does nothing.
  [[nodiscard]] bool Start(std::uint64_t features, std::span<const QueueParts> queues) noexcept;
  // When it returns the kernel does not use the guest's memory any more.
  void Stop() noexcept;
  [[nodiscard]] bool running() const { return running_; }

 protected:
  // Takes an open device of vhost's over, and shares the guest's RAM with it. Throws a chain. Since
  // Linux 6.4 the kernel serves queues on a thread of this process, which runs where and how the
  // thread runs that makes this.
  Vhost(Fd device, std::size_t queues, const GuestRam& ram, const VhostEvents& events);

  // Has the kernel serve the queues that it was given, or let go of all; false if it refuses.
  [[nodiscard]] virtual bool SetServing(bool serving) noexcept = 0;

  [[nodiscard]] const Fd& device() const { return device_; }
  // An ioctl while the guest runs; false if it failed.
  [[nodiscard]] bool Tell(unsigned long request, void* argument) const noexcept;

 private:
  void ShareRam(const GuestRam& ram);
  void ConnectQueue(std::uint32_t index, const VhostEvents& events);
  [[nodiscard]] bool SetUpQueue(std::uint32_t index, const QueueParts& parts) noexcept;

  std::vector<Fd> kicks_;  // closed after the device that waits for them
  Fd device_;
  std::uint64_t features_ = 0;
  bool running_ = false;
};

// What a device of vhost's offers. Throws Error if that is not all that every device here offers a
// driver (virtio 1.2, 6).
std::uint64_t VhostFeatures(const Fd& device);

}  // namespace microvm
