// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include "devices/vfio/iommufd_uapi.h"
#include "tests/fakes/fake_vfio.h"

namespace microvm::fakes {
namespace {

constexpr unsigned kOffsetShift = 40;  // VFIO_PLATFORM_OFFSET_SHIFT

void Signal(int eventfd) {
  const std::uint64_t one = 1;
  if (::write(eventfd, &one, sizeof(one)) != sizeof(one)) {
    throw std::runtime_error("eventfd full in a fake");
  }
}

}  // namespace

FakeDevice::FakeDevice(FakeKernel& kernel, FakeGroup* group, FakeDeviceSpec spec)
    : kernel_(kernel), group_(group), spec_(std::move(spec)), irqs_(spec_.irqs.size()) {
  for (const FakeRegion& region : spec_.regions) {
    memory_.push_back(std::make_unique<RealFd>(MakeMemoryFd(region.size_bytes)));
  }
}

bool FakeDevice::armed() const {
  return std::any_of(irqs_.begin(), irqs_.end(),
                     [](const Irq& irq) { return irq.trigger >= 0 && !irq.masked; });
}

bool FakeDevice::Uses(int eventfd) const {
  return std::any_of(irqs_.begin(), irqs_.end(), [&](const Irq& irq) {
    return irq.trigger == eventfd || irq.unmask == eventfd;
  });
}

long FakeDevice::GetInfo(void* argument) const {
  auto info = CopyIn<vfio_device_info>(argument);
  if (info.argsz < offsetof(vfio_device_info, num_irqs) + sizeof(info.num_irqs)) return -EINVAL;
  info.flags = VFIO_DEVICE_FLAGS_PLATFORM | (spec_.can_reset ? VFIO_DEVICE_FLAGS_RESET : 0U);
  info.num_regions = static_cast<std::uint32_t>(spec_.regions.size());
  info.num_irqs = static_cast<std::uint32_t>(spec_.irqs.size());
  CopyOut(argument, info);
  return 0;
}

long FakeDevice::GetRegionInfo(void* argument) const {
  auto info = CopyIn<vfio_region_info>(argument);
  if (info.argsz < sizeof(info) || info.index >= spec_.regions.size()) return -EINVAL;
  const FakeRegion& region = spec_.regions[info.index];
  info.flags = 0;
  if (region.mappable) info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
  if (region.readable) info.flags |= VFIO_REGION_INFO_FLAG_READ;
  if (region.writable) info.flags |= VFIO_REGION_INFO_FLAG_WRITE;
  info.size = region.size_bytes;
  info.offset = std::uint64_t{info.index} << kOffsetShift;
  CopyOut(argument, info);
  return 0;
}

long FakeDevice::GetIrqInfo(void* argument) const {
  auto info = CopyIn<vfio_irq_info>(argument);
  if (info.argsz < sizeof(info) || info.index >= spec_.irqs.size()) return -EINVAL;
  info.flags = VFIO_IRQ_INFO_EVENTFD;
  if (spec_.irqs[info.index].level) {
    info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
  }
  info.count = 1;
  CopyOut(argument, info);
  return 0;
}

// vfio_platform_set_irq_mask and _unmask.
long FakeDevice::SetMask(Irq& irq, const vfio_irq_set& set, int eventfd) {
  if (set.start != 0 || set.count != 1) return -EINVAL;
  if (!spec_.irqs[set.index].level) return -EINVAL;  // not maskable
  const bool mask = (set.flags & VFIO_IRQ_SET_ACTION_MASK) != 0;
  if ((set.flags & VFIO_IRQ_SET_DATA_EVENTFD) != 0) {
    if (mask) return -EINVAL;  // masking by eventfd has no use here
    if (eventfd >= 0 && irq.unmask >= 0) return -EBUSY;
    if (eventfd >= 0 && !kernel_.IsEventFd(eventfd)) return -EINVAL;
    irq.unmask = eventfd;
    return 0;
  }
  irq.masked = mask;
  if (!mask) Deliver(set.index);
  return 0;
}

// vfio_platform_set_irq_trigger.
long FakeDevice::SetTrigger(Irq& irq, const vfio_irq_set& set, int eventfd) {
  if (set.count == 0 && (set.flags & VFIO_IRQ_SET_DATA_NONE) != 0) {
    irq.trigger = -1;
    return 0;
  }
  if (set.start != 0 || set.count != 1) return -EINVAL;
  if ((set.flags & VFIO_IRQ_SET_DATA_NONE) != 0) {
    Handle(set.index);
    return 0;
  }
  if ((set.flags & VFIO_IRQ_SET_DATA_EVENTFD) == 0) return -EINVAL;
  irq.trigger = -1;
  if (eventfd < 0) return 0;
  if (!kernel_.IsEventFd(eventfd)) return -EINVAL;
  irq.trigger = eventfd;
  Deliver(set.index);
  return 0;
}

// vfio_set_irqs_validate_and_prepare, then vfio_platform_set_irqs_ioctl.
long FakeDevice::SetIrqs(const std::byte* argument) {
  const auto set = CopyIn<vfio_irq_set>(argument);
  constexpr std::uint32_t kKnown = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
  if (set.argsz < sizeof(set) || set.index >= irqs_.size() || (set.flags & ~kKnown) != 0) {
    return -EINVAL;
  }
  if (set.start >= irqs_.size() || set.start + set.count > irqs_.size()) return -EINVAL;
  int eventfd = -1;
  switch (set.flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
    case VFIO_IRQ_SET_DATA_NONE:
      break;
    case VFIO_IRQ_SET_DATA_EVENTFD:
      if (set.argsz - sizeof(set) < set.count * sizeof(std::int32_t)) return -EINVAL;
      eventfd = CopyIn<std::int32_t>(argument + sizeof(set));
      break;
    default:
      return -EINVAL;
  }
  if (spec_.irqs[set.index].line_error != 0) return -spec_.irqs[set.index].line_error;
  Irq& irq = irqs_[set.index];
  switch (set.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
    case VFIO_IRQ_SET_ACTION_MASK:
    case VFIO_IRQ_SET_ACTION_UNMASK:
      return SetMask(irq, set, eventfd);
    case VFIO_IRQ_SET_ACTION_TRIGGER:
      return SetTrigger(irq, set, eventfd);
    default:
      return -ENOTTY;
  }
}

long FakeDevice::Ioctl(unsigned long request, void* argument) {
  if (request == iommufd::kDeviceBindIommufd) return Bind(argument);
  if (group_ == nullptr && !bound_) return -EINVAL;
  switch (request) {
    case iommufd::kDeviceAttachPt:
      return group_ != nullptr ? -ENOTTY : Attach(argument);
    case VFIO_DEVICE_GET_INFO:
      return GetInfo(argument);
    case VFIO_DEVICE_GET_REGION_INFO:
      return GetRegionInfo(argument);
    case VFIO_DEVICE_GET_IRQ_INFO:
      return GetIrqInfo(argument);
    case VFIO_DEVICE_SET_IRQS:
      return SetIrqs(static_cast<const std::byte*>(argument));
    case VFIO_DEVICE_RESET:
      if (!spec_.can_reset) return -EINVAL;
      if (armed()) kernel_.Violation(name() + " reset while it may interrupt");
      for (Irq& irq : irqs_) irq.line_high = false;
      return 0;
    default:
      return -ENOTTY;
  }
}

// vfio_platform_mmap.
int FakeDevice::MapTarget(std::size_t length, int protection, int flags, off_t& offset) {
  const auto index = static_cast<std::uint64_t>(offset) >> kOffsetShift;
  const std::uint64_t start = static_cast<std::uint64_t>(offset) & ((1ULL << kOffsetShift) - 1);
  if ((flags & MAP_SHARED) == 0 || index >= spec_.regions.size()) return -EINVAL;
  const FakeRegion& region = spec_.regions[index];
  if (!region.mappable || start + length > region.size_bytes) return -EINVAL;
  if ((protection & PROT_READ) != 0 && !region.readable) return -EINVAL;
  if ((protection & PROT_WRITE) != 0 && !region.writable) return -EINVAL;
  offset = static_cast<off_t>(start);
  return memory_[index]->get();
}

// The descriptor and the place in it of an access, or a negative errno.
ssize_t FakeDevice::Transfer(std::size_t length, off_t& offset, bool write, int& memory) const {
  const auto index = static_cast<std::uint64_t>(offset) >> kOffsetShift;
  const std::uint64_t start = static_cast<std::uint64_t>(offset) & ((1ULL << kOffsetShift) - 1);
  if (index >= spec_.regions.size()) return -EINVAL;
  const FakeRegion& region = spec_.regions[index];
  if (write ? !region.writable : !region.readable) return -EINVAL;
  if (start >= region.size_bytes) return -EINVAL;
  offset = static_cast<off_t>(start);
  memory = memory_[index]->get();
  return static_cast<ssize_t>(std::min<std::uint64_t>(length, region.size_bytes - start));
}

ssize_t FakeDevice::Pread(void* buffer, std::size_t length, off_t offset) {
  int memory = -1;
  const ssize_t count = Transfer(length, offset, false, memory);
  return count < 0 ? count : ::pread(memory, buffer, static_cast<std::size_t>(count), offset);
}

ssize_t FakeDevice::Pwrite(const void* buffer, std::size_t length, off_t offset) {
  int memory = -1;
  const ssize_t count = Transfer(length, offset, true, memory);
  return count < 0 ? count : ::pwrite(memory, buffer, static_cast<std::size_t>(count), offset);
}

// vfio_irq_handler and vfio_automasked_irq_handler.
void FakeDevice::Handle(unsigned index) {
  Irq& irq = irqs_[index];
  if (irq.masked) return;
  irq.masked = spec_.irqs[index].level;
  if (irq.trigger >= 0) Signal(irq.trigger);
}

// The CPU takes a level whose line is high while it is enabled, which it is with its trigger.
void FakeDevice::Deliver(unsigned index) {
  const Irq& irq = irqs_[index];
  if (spec_.irqs[index].level && irq.line_high && irq.trigger >= 0) Handle(index);
}

void FakeDevice::Raise(unsigned index) {
  Irq& irq = irqs_.at(index);
  if (!spec_.irqs[index].level) {
    if (irq.trigger >= 0) Handle(index);
    return;
  }
  irq.line_high = true;
  Deliver(index);
}

void FakeKernel::RaiseInterrupt(const std::string& device, unsigned index) {
  const std::scoped_lock lock(mutex_);
  for (FakeDevice* open : All<FakeDevice>()) {
    if (open->name() == device) open->Raise(index);
  }
}

void FakeKernel::LowerInterrupt(const std::string& device, unsigned index) {
  const std::scoped_lock lock(mutex_);
  for (FakeDevice* open : All<FakeDevice>()) {
    if (open->name() == device) open->Lower(index);
  }
}

}  // namespace microvm::fakes
