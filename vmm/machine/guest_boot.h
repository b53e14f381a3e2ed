// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "arch/arm64/boot_image.h"
#include "arch/arm64/gic.h"
#include "devices/mmio_bus.h"
#include "devices/pl011.h"
#include "devices/pl031.h"
#include "devices/reset_stub.h"
#include "devices/vfio/platform_device.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/fifo_section.h"
#include "vmm/machine/pl061_devices.h"
#include "vmm/machine/spi_line.h"
#include "vmm/machine/vcpu_thread.h"
#include "vmm/machine/virtio_devices.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// What a boot of the guest is made from; all of it outlives the boot.
struct BootParts {
  HostKernel& kernel;
  const Kvm& kvm;
  const VmPlan& plan;
  const BootImages& images;
  const GuestMemory& memory;
  std::vector<std::unique_ptr<VfioPlatformDevice>>& devices;
  VirtioDevices& virtio;
  Pl061Devices& pl061s;
  ConsoleHost* pl011_host;     // null: the guest has no PL011
  WallClock* clock;            // there if the plan has an RTC
  LogBudget& refused_log;      // accesses that no device takes
  LogBudget& undecodable_log;  // accesses that cannot be decoded
};

// One boot of the guest, from reset to reset: the KVM virtual machine with its vCPUs, interrupt
// controller and armed device interrupts. A reboot is a new one, so that every register of every
// vCPU, timer and vGIC starts as the architecture says, by the kernel's own doing.
//
// The constructor is the recipe; member order is its order, and the reverse is the way down:
// threads first, then device interrupts (masked), then the VM.
class GuestBoot {
 public:
  // Everything but the start; the guest has not run when it returns or throws.
  GuestBoot(const BootParts& parts, const VcpuThread::StopHandler& on_stop);
  GuestBoot(const GuestBoot&) = delete;
  GuestBoot& operator=(const GuestBoot&) = delete;
  GuestBoot(GuestBoot&&) = delete;
  GuestBoot& operator=(GuestBoot&&) = delete;
  ~GuestBoot() { RequestStop(); }

  // Lets the vCPUs run.
  void Start();
  // Asks them all to stop; destruction waits for them.
  void RequestStop() noexcept;

  // Stops all vCPUs for as long as it takes to ask the interrupt controller. Once started; throws a
  // chain.
  [[nodiscard]] SpiState ReadSpi(Spi spi);

  // Null where the guest has none.
  [[nodiscard]] Pl011* pl011() { return pl011_ ? &*pl011_ : nullptr; }
  [[nodiscard]] Pl031* pl031() { return pl031_ ? &*pl031_ : nullptr; }
  [[nodiscard]] const std::deque<VcpuExits>& exits() const { return exits_; }
  [[nodiscard]] std::uint64_t refused_accesses() const { return bus_.refused(); }

  // Stops and joins the vCPU threads; the counters are final then.
  void Join();

 private:
  // RAM, regions, vCPUs, interrupt controller.
  void MakeVm(const BootParts& parts);
  void MakeVcpus(const BootParts& parts);
  void LoadMemory(const BootParts& parts);
  void SetEntry(const VmPlan& plan);
  void MakeThreads(const BootParts& parts, const FifoSection& section,
                   const VcpuThread::StopHandler& on_stop);

  GicVersion gic_version_;
  VirtioDevices& virtio_;
  Vm vm_;
  MmioBus bus_;
  SpiLine pl011_line_;
  std::optional<Pl011> pl011_;
  std::optional<SpiLine> pl031_line_;
  std::optional<Pl031> pl031_;
  std::deque<ResetStub> reset_stubs_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::optional<KvmDevice> gic_;
  std::vector<std::unique_ptr<ArmedInterrupt>> interrupts_;
  std::vector<VirtioConnection> virtio_connections_;
  std::deque<Pl061Connection> pl061_connections_;
  std::deque<VcpuExits> exits_;
  std::vector<std::unique_ptr<VcpuThread>> threads_;
};

}  // namespace microvm
