// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "arch/arm64/boot_image.h"
#include "devices/vfio/platform_device.h"
#include "vmm/host/interrupt_steering.h"
#include "vmm/machine/consoles.h"
#include "vmm/machine/event_loop.h"
#include "vmm/machine/guest_boot.h"
#include "vmm/machine/host_clock.h"
#include "vmm/machine/interrupt_watch.h"
#include "vmm/machine/loop_event.h"
#include "vmm/machine/statistics.h"
#include "vmm/machine/stop_signals.h"
#include "vmm/machine/virtio_devices.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/passthrough/passthrough.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// A virtual machine with all that outlives a reboot of its guest: memory, devices, console.
// Members are built in their order and taken down in reverse: a device is closed, and with that
// quiet, before the address space that maps memory for it goes.
class Machine {
 public:
  // Takes the opened devices over. Throws a chain; nothing stays behind then.
  Machine(HostKernel& kernel, const HostSysfs& sysfs, const Kvm& kvm, const VmPlan& plan,
          const BootImages& images, OpenedDevices opened, StopSignals& stop_signals);

  // Runs the guest, reboots included, until it powers off, fails or is told to stop. Must be
  // called on the main thread, once.
  StopReason Run();

  // Complete but for the exit status once Run has returned or thrown.
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }

 private:
  StopReason RunBoot();
  StopReason RunBoots();
  void ResetDevices();
  void GiveBackRam();
  void Stop(StopReason reason);
  void OnVcpuStopped();
  void AttachEmulated(GuestBoot* guest);
  void AwaitStop();
  void DivertInterrupts();
  [[nodiscard]] InterruptSteering SteerInterrupts();
  void AwaitLook(GuestBoot& guest);
  void CollectDevices();

  static constexpr int kNothing = -1;

  HostKernel& kernel_;
  const HostSysfs& sysfs_;
  const Kvm& kvm_;
  const VmPlan& plan_;
  const BootImages& images_;
  LogBudget refused_log_;
  LogBudget undecodable_log_;
  Statistics statistics_;
  std::unique_ptr<IdentityRam> identity_ram_;  // null: RAM is at addresses of our own
  GuestMemory memory_;
  // Declared before the devices, which refer to the eventfds of those that pass user space.
  EventLoop loop_;
  struct DeviceCounts {
    std::optional<std::uint64_t> host_interrupts_before;
    std::uint64_t userspace_irqs = 0;
  };
  std::vector<DeviceCounts> counts_;  // in the order of devices_
  std::vector<std::unique_ptr<LoopEvent>> diversions_;
  IoAddressSpaces spaces_;
  std::vector<std::unique_ptr<VfioPlatformDevice>> devices_;
  InterruptWatch watch_;
  asio::steady_timer look_timer_;
  Consoles consoles_;
  // Made once this thread is where it stays: the kernel's threads for it start there.
  std::optional<VirtioDevices> virtio_;
  std::optional<Pl061Devices> pl061s_;
  StopSignals& stop_signals_;
  asio::posix::stream_descriptor stop_descriptor_;
  // What a vCPU thread asks for, until the loop has seen it; kNothing is a value of its own.
  std::atomic<int> vcpu_stop_{kNothing};
  LoopEvent vcpu_stopped_;
  std::optional<HostClock> clock_;  // of an RTC
  Pl031* pl031_ = nullptr;          // this boot's
  std::optional<StopReason> stop_reason_;
};

}  // namespace microvm
