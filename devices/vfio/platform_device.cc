// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/platform_device.h"

#include <cstdio>
#include <exception>

#include "devices/vfio/reset_recipe.h"
#include "vmm/host/error.h"

namespace microvm {

MmioResult TrappedRegion::Read(std::uint64_t offset, std::span<std::byte> out) noexcept {
  reads_.fetch_add(1, std::memory_order_relaxed);
  if (!region_.readable || !Takes(out.size())) return MmioResult::kBadAccess;
  if (!IsAllowed(windows_, offset_ + offset, out.size(), false)) {
    denied_reads_.fetch_add(1, std::memory_order_relaxed);
    StoreRegister(out, 0);
    return MmioResult::kOk;
  }
  const Fd& fd = device_.fd();
  const auto at = static_cast<off_t>(region_.offset + offset_ + offset);
  const ssize_t count = fd.kernel().Pread(fd.get(), out.data(), out.size(), at);
  return count == static_cast<ssize_t>(out.size()) ? MmioResult::kOk : MmioResult::kDeviceError;
}

MmioResult TrappedRegion::Write(std::uint64_t offset, std::span<const std::byte> in) noexcept {
  writes_.fetch_add(1, std::memory_order_relaxed);
  if (!region_.writable || !Takes(in.size())) return MmioResult::kBadAccess;
  if (!IsAllowed(windows_, offset_ + offset, in.size(), true)) {
    denied_writes_.fetch_add(1, std::memory_order_relaxed);
    return MmioResult::kOk;
  }
  const Fd& fd = device_.fd();
  const auto at = static_cast<off_t>(region_.offset + offset_ + offset);
  const ssize_t count = fd.kernel().Pwrite(fd.get(), in.data(), in.size(), at);
  return count == static_cast<ssize_t>(in.size()) ? MmioResult::kOk : MmioResult::kDeviceError;
}

ArmedInterrupt::ArmedInterrupt(VfioDevice& device, std::uint32_t index,
                               const PlannedInterrupt& plan, const Vm& vm, const Fd& vfio_trigger,
                               const Fd& kvm_trigger, const Fd& resample, LogBudget& log)
    : device_(device),
      index_(index),
      level_(plan.trigger == Trigger::kLevel),
      log_(log),
      irqfd_(level_ ? Irqfd::Level(vm, plan.spi, kvm_trigger, resample, log)
                    : Irqfd::Edge(vm, plan.spi, kvm_trigger, log)) {
  try {
    if (level_) device_.SetUnmaskEvent(index_, resample);
    device_.SetTrigger(index_, vfio_trigger);
    // An earlier boot of the guest may have left the line masked; if it is high, it fires now.
    if (level_) device_.Unmask(index_);
  } catch (...) {
    Disarm(false);
    throw;
  }
}

ArmedInterrupt::~ArmedInterrupt() { Disarm(true); }

void ArmedInterrupt::Disarm(bool report) noexcept {
  // One step that fails must not keep the line connected: the next boot would find it taken.
  const auto attempt = [this, report](auto&& step) {
    try {
      step();
    } catch (const std::exception& error) {
      if (!report || log_.Take() == 0) return;
      std::fprintf(stderr, "microvm: cannot disarm an interrupt\n%s", FormatChain(error).c_str());
    }
  };
  if (level_) attempt([this] { device_.Mask(index_); });
  attempt([this] { device_.ClearTrigger(index_); });
  if (level_) attempt([this] { device_.ClearUnmaskEvent(index_); });
}

VfioPlatformDevice::VfioPlatformDevice(std::unique_ptr<VfioDevice> device, PlannedDevice plan)
    : device_(std::move(device)), plan_(std::move(plan)) {
  for (const PlannedRegion& region : plan_.regions) {
    for (const RegionPart& part : PartsOf(region)) {
      if (part.mapped) {
        mappings_.push_back(device_->MapRegion(region.index, part.offset, part.size_bytes));
      } else {
        trapped_.emplace_back(plan_.host + " region " + std::to_string(region.index), *device_,
                              device_->regions().at(region.index), part.offset, region.windows,
                              plan_.access_bytes);
      }
    }
  }
  for (const PlannedInterrupt& interrupt : plan_.interrupts) {
    HostKernel& kernel = device_->fd().kernel();
    Eventfds& eventfds = eventfds_.emplace_back();
    if (interrupt.repeats) continue;
    eventfds.trigger = MakeEventFd(kernel);
    if (interrupt.trigger == Trigger::kLevel) eventfds.resample = MakeEventFd(kernel);
  }
}

void VfioPlatformDevice::DivertInterrupt(std::uint32_t index, const Fd& eventfd) {
  eventfds_.at(index).diverted = &eventfd;
}

void VfioPlatformDevice::AddRegions(Vm& vm, MmioBus& bus) {
  auto mapping = mappings_.begin();
  auto trapped = trapped_.begin();
  for (const PlannedRegion& region : plan_.regions) {
    for (const RegionPart& part : PartsOf(region)) {
      const GuestAddress start{region.guest.start().value + part.offset};
      if (part.mapped) {
        vm.AddMemslot(start, (mapping++)->bytes());
      } else {
        bus.Map(AddressRange(start, part.size_bytes), *trapped++);
      }
    }
  }
}

std::vector<std::unique_ptr<ArmedInterrupt>> VfioPlatformDevice::ArmInterrupts(const Vm& vm) {
  std::vector<std::unique_ptr<ArmedInterrupt>> armed;
  for (std::uint32_t index = 0; index < plan_.interrupts.size(); ++index) {
    const Eventfds& eventfds = eventfds_[index];
    const PlannedInterrupt& interrupt = plan_.interrupts[index];
    if (interrupt.repeats) continue;
    // What was signalled to an earlier boot and not taken is no interrupt of this one; a line that
    // is still high says so itself.
    DrainEventFd(eventfds.vfio_trigger());
    DrainEventFd(eventfds.trigger);
    armed.push_back(std::make_unique<ArmedInterrupt>(*device_, interrupt.index, interrupt, vm,
                                                     eventfds.vfio_trigger(), eventfds.trigger,
                                                     eventfds.resample, disarm_log_));
  }
  return armed;
}

bool VfioPlatformDevice::IsMasked(std::uint32_t index, const Fd& probe) {
  return device_->IsMasked(plan_.interrupts[index].index, eventfds_[index].vfio_trigger(), probe);
}

void VfioPlatformDevice::Unmask(std::uint32_t index) {
  device_->Unmask(plan_.interrupts[index].index);
}

void VfioPlatformDevice::Reset() {
  if (plan_.reset.policy == ResetPolicy::kNone) return;
  std::exception_ptr failed;
  try {
    if (device_->can_reset()) device_->Reset();
  } catch (...) {
    // Then all the more: the recipe may quiet the device.
    failed = std::current_exception();
  }
  RunRecipe(*device_, plan_.reset.recipe);
  if (failed) std::rethrow_exception(failed);
}

std::uint64_t VfioPlatformDevice::mapped_bytes() const {
  std::uint64_t sum = 0;
  for (const MemoryMapping& mapping : mappings_) sum += mapping.bytes().size();
  return sum;
}

TrappedCounts VfioPlatformDevice::trapped() const {
  TrappedCounts sum;
  for (const TrappedRegion& region : trapped_) {
    sum.reads += region.reads();
    sum.writes += region.writes();
    sum.denied_reads += region.denied_reads();
    sum.denied_writes += region.denied_writes();
  }
  return sum;
}

}  // namespace microvm
