// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "devices/gpio/host_gpio.h"
#include "devices/mmio_bus.h"
#include "devices/virtio/mmio_transport.h"
#include "vmm/host/log_budget.h"
#include "vmm/host/memory_mapping.h"
#include "vmm/kvm/ioeventfd.h"
#include "vmm/kvm/irqfd.h"
#include "vmm/machine/consoles.h"
#include "vmm/machine/descriptor_watch.h"
#include "vmm/machine/event_loop.h"
#include "vmm/machine/loop_event.h"
#include "vmm/machine/statistics.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// Looks once at a time whether a descriptor can be read. The loop's thread.
class InputWatch {
 public:
  // `on_readable` runs on the loop. `fd` stays open as long as this is there.
  InputWatch(EventLoop& loop, int fd, std::function<void()> on_readable);

  // Unless it looks already.
  void Await();

 private:
  asio::posix::stream_descriptor descriptor_;
  std::function<void()> on_readable_;
  bool awaits_ = false;
};

// One virtio device, its eventfds, and the loop's part in it.
class VirtioSlot {
 public:
  // `plan`, `ram` and `consoles` outlive it; `lines` are those of a GPIO controller, else null.
  // Throws a chain.
  VirtioSlot(EventLoop& loop, HostKernel& kernel, const VmConfig& config, const PlannedVirtio& plan,
             const GuestRam& ram, Consoles& consoles, OpenedGpioLines* lines);

  [[nodiscard]] const PlannedVirtio& plan() const { return plan_; }
  [[nodiscard]] const Fd& notification() const { return notified_.eventfd(); }
  [[nodiscard]] const Fd& interrupt() const { return interrupt_; }
  [[nodiscard]] std::span<std::byte> registers() const { return registers_.bytes(); }
  [[nodiscard]] MmioTransport& transport() { return transport_; }
  // Of the queues that the host's kernel serves.
  [[nodiscard]] std::span<const Fd> kicks() const;

 private:
  void AfterWork();
  void AwaitLook();
  void AwaitInputs();
  void AwaitIdle();
  void WatchLines(EventLoop& loop, const OpenedGpioLines& lines);

  const PlannedVirtio& plan_;
  MemoryMapping registers_;  // whole pages of the host's
  Fd interrupt_;
  LoopEvent notified_;
  std::unique_ptr<LoopEvent> ended_;        // of a device whose requests may take a while
  std::unique_ptr<LoopEvent> vhost_error_;  // of one whose queues the host's kernel serves
  std::unique_ptr<VirtioDevice> device_;
  MmioTransport transport_;
  std::vector<std::unique_ptr<InputWatch>> inputs_;
  asio::steady_timer look_timer_;
  bool awaits_look_ = false;
  std::optional<asio::steady_timer> idle_timer_;  // of a disk
  bool awaits_idle_ = false;
  std::deque<DescriptorWatch> watches_;  // of what the host tells the device
};

// What a virtio device and a boot of the guest have to do with each other without user space.
struct VirtioConnection {
  std::vector<Ioeventfd> notifications;
  Ioeventfd acknowledgement;
  Irqfd interrupt;
};

// A machine's virtio devices. They outlive the boots of its guest, each of which maps and connects
// them anew and ends with a reset; their disks stay open and locked. The loop's thread.
class VirtioDevices {
 public:
  // Throws a chain; `plan`, `ram` and `consoles`, the ends of those among them, outlive it. GPIO
  // controllers take their lines out of `lines`, those of each [[gpio]].
  VirtioDevices(EventLoop& loop, HostKernel& kernel, const VmPlan& plan, const GuestRam& ram,
                Consoles& consoles, std::vector<OpenedGpioLines>& lines);

  void Map(Vm& vm, MmioBus& bus);
  // Once the VM's interrupt controller is initialised; the VM outlives what this returns.
  [[nodiscard]] std::vector<VirtioConnection> Connect(const Vm& vm);
  // The guest has ended: nothing of its is begun any more, and its vCPUs wait for no disk of the
  // host's.
  void Release() noexcept;
  // When there is no guest. Nothing of the guest's memory is used any more when it returns but by
  // requests that the host's disk has not ended in reasonable time, which it tells on standard
  // error.
  void Reset() noexcept;
  // Requests are in flight, which use the guest's memory.
  [[nodiscard]] bool IsBusy() const noexcept;
  // A vCPU waits for them, deaf to everything but Release.
  [[nodiscard]] bool HoldsVcpu() const noexcept;

  [[nodiscard]] std::vector<VirtioStatistics> statistics() const;

 private:
  Fd acknowledged_;  // signalled for what the drivers acknowledge; nobody waits for it
  std::vector<std::unique_ptr<VirtioSlot>> slots_;
  LogBudget disconnect_log_;
};

}  // namespace microvm
