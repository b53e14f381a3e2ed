// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "devices/mmio_bus.h"
#include "devices/mmio_device.h"
#include "devices/vfio/device.h"
#include "vmm/host/log_budget.h"
#include "vmm/kvm/irqfd.h"
#include "vmm/kvm/kvm.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// A part of a region that is not mapped into the guest: each access is a read or write of the
// device's descriptor, unless a window denies it. A denied read gives zero, a denied write has no
// effect. Only the counters are shared between threads; the kernel does the locking.
class TrappedRegion final : public MmioDevice {
 public:
  // `offset`: where in the region the part starts. `windows` are the region's, and outlive this.
  // `access_bytes`: the width of every access, others are refused; 0: any.
  TrappedRegion(std::string name, const VfioDevice& device, const VfioRegion& region,
                std::uint64_t offset, std::span<const AccessWindow> windows,
                std::uint32_t access_bytes)
      : name_(std::move(name)),
        device_(device),
        region_(region),
        offset_(offset),
        windows_(windows),
        access_bytes_(access_bytes) {}

  [[nodiscard]] std::string_view name() const override { return name_; }
  MmioResult Read(std::uint64_t offset, std::span<std::byte> out) noexcept override;
  MmioResult Write(std::uint64_t offset, std::span<const std::byte> in) noexcept override;

  [[nodiscard]] std::uint64_t reads() const { return reads_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t writes() const { return writes_.load(std::memory_order_relaxed); }
  // Of these, those that a window denied.
  [[nodiscard]] std::uint64_t denied_reads() const {
    return denied_reads_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t denied_writes() const {
    return denied_writes_.load(std::memory_order_relaxed);
  }

 private:
  [[nodiscard]] bool Takes(std::size_t size_bytes) const {
    return access_bytes_ == 0 || size_bytes == access_bytes_;
  }

  std::string name_;
  const VfioDevice& device_;
  VfioRegion region_;
  std::uint64_t offset_;
  std::span<const AccessWindow> windows_;
  std::uint32_t access_bytes_;
  std::atomic<std::uint64_t> reads_{0};
  std::atomic<std::uint64_t> writes_{0};
  std::atomic<std::uint64_t> denied_reads_{0};
  std::atomic<std::uint64_t> denied_writes_{0};
};

// Accesses to all trapped parts of a device.
struct TrappedCounts {
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t denied_reads = 0;
  std::uint64_t denied_writes = 0;
};

// An interrupt of a passed-through device on its way into one boot of the guest: VFIO signals the
// trigger, KVM injects; for a level, KVM signals resample at the guest's EOI and VFIO unmasks.
// Armed by the constructor, in the order that loses nothing; disarmed by the destructor, masked
// first, so that the line cannot fire into a VM that is going away.
class ArmedInterrupt {
 public:
  // VFIO signals `vfio_trigger`, KVM injects for `kvm_trigger`: one and the same eventfd, unless
  // something stands between. `resample` is for levels, `log` for a failure to disarm.
  ArmedInterrupt(VfioDevice& device, std::uint32_t index, const PlannedInterrupt& plan,
                 const Vm& vm, const Fd& vfio_trigger, const Fd& kvm_trigger, const Fd& resample,
                 LogBudget& log);
  ArmedInterrupt(const ArmedInterrupt&) = delete;
  ArmedInterrupt& operator=(const ArmedInterrupt&) = delete;
  ArmedInterrupt(ArmedInterrupt&&) = delete;
  ArmedInterrupt& operator=(ArmedInterrupt&&) = delete;
  ~ArmedInterrupt();

 private:
  // `report`: log what fails; not on the way out of a failed constructor, which has its own error.
  void Disarm(bool report) noexcept;

  VfioDevice& device_;
  std::uint32_t index_;
  bool level_;
  LogBudget& log_;
  Irqfd irqfd_;
};

// A passed-through device as the guest sees it. Lives as long as the machine, over all boots of
// the guest; closing the device's descriptor is the last thing that happens to it, and makes the
// kernel reset it where it can.
class VfioPlatformDevice {
 public:
  // Maps every region the plan maps and makes the eventfds. Throws a chain.
  VfioPlatformDevice(std::unique_ptr<VfioDevice> device, PlannedDevice plan);

  // Has VFIO signal `eventfd`, which outlives the device, for an interrupt of the plan, by its
  // place there, in place of the eventfd that KVM injects for, kvm_trigger(). Before any boot.
  void DivertInterrupt(std::uint32_t index, const Fd& eventfd);
  [[nodiscard]] const Fd& kvm_trigger(std::uint32_t index) const {
    return eventfds_[index].trigger;
  }

  // Adds the regions to a VM: memory slots for mapped ones, the bus for trapped ones.
  void AddRegions(Vm& vm, MmioBus& bus);
  // Connects the interrupts to a VM whose vGIC is initialised.
  [[nodiscard]] std::vector<std::unique_ptr<ArmedInterrupt>> ArmInterrupts(const Vm& vm);
  // Of a level interrupt of the plan, by its place there, while it is armed: whether the host keeps
  // it masked, and the end of that (VfioDevice::IsMasked). Throws a chain.
  [[nodiscard]] bool IsMasked(std::uint32_t index, const Fd& probe);
  void Unmask(std::uint32_t index);
  // Brings the device to rest as its configuration says: by the kernel's reset where it has one,
  // then by the recipe. Its interrupts must not be armed. Throws a chain.
  void Reset();

  [[nodiscard]] const std::string& name() const { return plan_.host; }
  [[nodiscard]] const PlannedDevice& plan() const { return plan_; }
  [[nodiscard]] std::uint64_t mapped_bytes() const;
  [[nodiscard]] TrappedCounts trapped() const;

 private:
  struct Eventfds {
    Fd trigger;
    Fd resample;                   // level interrupts only
    const Fd* diverted = nullptr;  // what VFIO signals in place of `trigger`
    [[nodiscard]] const Fd& vfio_trigger() const {
      return diverted != nullptr ? *diverted : trigger;
    }
  };

  std::unique_ptr<VfioDevice> device_;
  PlannedDevice plan_;
  std::vector<MemoryMapping> mappings_;  // in the order of the mapped parts of regions
  std::deque<TrappedRegion> trapped_;    // in the order of the trapped ones
  std::vector<Eventfds> eventfds_;
  LogBudget disarm_log_;
};

}  // namespace microvm
