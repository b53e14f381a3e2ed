// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/device.h"

#include <linux/vfio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// Whether an eventfd was signalled since this was asked last.
bool TakeSignal(const Fd& eventfd) {
  std::uint64_t count = 0;
  return ::read(eventfd.get(), &count, sizeof(count)) == static_cast<ssize_t>(sizeof(count));
}

const char* ActionName(std::uint32_t action) {
  switch (action) {
    case VFIO_IRQ_SET_ACTION_MASK:
      return "VFIO_DEVICE_SET_IRQS (mask)";
    case VFIO_IRQ_SET_ACTION_UNMASK:
      return "VFIO_DEVICE_SET_IRQS (unmask)";
    default:
      return "VFIO_DEVICE_SET_IRQS (trigger)";
  }
}

}  // namespace

VfioDevice::VfioDevice(Fd fd) : fd_(std::move(fd)) {
  vfio_device_info info{};
  info.argsz = sizeof(info);
  CheckedIoctl(fd_, IOCTL_CODE(VFIO_DEVICE_GET_INFO), &info);
  can_reset_ = (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;
  for (std::uint32_t index = 0; index < info.num_regions; ++index) {
    regions_.push_back(ReadRegion(index));
  }
  for (std::uint32_t index = 0; index < info.num_irqs; ++index) {
    interrupts_.push_back(ReadInterrupt(index));
  }
}

VfioRegion VfioDevice::ReadRegion(std::uint32_t index) const {
  return WithContext(Error("region " + std::to_string(index)), [&] {
    vfio_region_info info{};
    info.argsz = sizeof(info);
    info.index = index;
    CheckedIoctl(fd_, IOCTL_CODE(VFIO_DEVICE_GET_REGION_INFO), &info);
    if (info.size == 0) throw Error("VFIO reports a size of zero");
    return VfioRegion{.size_bytes = info.size,
                      .offset = info.offset,
                      .mappable = (info.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0,
                      .readable = (info.flags & VFIO_REGION_INFO_FLAG_READ) != 0,
                      .writable = (info.flags & VFIO_REGION_INFO_FLAG_WRITE) != 0};
  });
}

VfioInterrupt VfioDevice::ReadInterrupt(std::uint32_t index) {
  VfioInterrupt interrupt = WithContext(Error("interrupt " + std::to_string(index)), [&] {
    vfio_irq_info info{};
    info.argsz = sizeof(info);
    info.index = index;
    CheckedIoctl(fd_, IOCTL_CODE(VFIO_DEVICE_GET_IRQ_INFO), &info);
    if ((info.flags & VFIO_IRQ_INFO_EVENTFD) == 0 || info.count != 1) {
      throw Error("VFIO does not signal it through one eventfd");
    }
    return VfioInterrupt{.automasked = (info.flags & VFIO_IRQ_INFO_AUTOMASKED) != 0};
  });
  interrupt.line_error = LineError(index);
  return interrupt;
}

// vfio_platform_irq.c keeps what request_irq answered when the device was opened, and gives it to
// whatever is asked of the interrupt: also to taking away the trigger that there is not yet.
int VfioDevice::LineError(std::uint32_t index) {
  try {
    SetEvent(index, VFIO_IRQ_SET_ACTION_TRIGGER, -1);
    return 0;
  } catch (const std::exception& error) {
    const int number = ErrnoOf(error);
    if (number != EBUSY && number != EINVAL) throw;
    return number;
  }
}

MemoryMapping VfioDevice::MapRegion(std::uint32_t index, std::uint64_t offset,
                                    std::uint64_t size_bytes) const {
  return WithContext(Error("region " + std::to_string(index)), [&] {
    const VfioRegion& region = regions_.at(index);
    return MemoryMapping::OfFile(fd_, size_bytes, static_cast<off_t>(region.offset + offset));
  });
}

void VfioDevice::Reset() { CheckedIoctl(fd_, IOCTL_CODE(VFIO_DEVICE_RESET)); }

void VfioDevice::SetEvent(std::uint32_t index, std::uint32_t action, int eventfd) {
  alignas(vfio_irq_set) std::array<std::byte, sizeof(vfio_irq_set) + sizeof(std::int32_t)> buffer{};
  vfio_irq_set set{};
  set.argsz = buffer.size();
  set.flags = VFIO_IRQ_SET_DATA_EVENTFD | action;
  set.index = index;
  set.count = 1;
  const std::int32_t descriptor = eventfd;
  std::memcpy(buffer.data(), &set, sizeof(set));
  std::memcpy(buffer.data() + sizeof(set), &descriptor, sizeof(descriptor));
  const std::string what = "interrupt " + std::to_string(index);
  try {
    CheckedIoctl(fd_, {VFIO_DEVICE_SET_IRQS, ActionName(action)}, buffer.data());
  } catch (const std::exception& error) {
    if (ErrnoOf(error) != EBUSY) std::throw_with_nested(Error(what));
    std::throw_with_nested(
        Error(what + " is taken: a driver of the host, or another interrupt of this device, uses "
                     "the same line",
              "see who has it: grep -n . /proc/interrupts"));
  }
}

void VfioDevice::SetState(std::uint32_t index, std::uint32_t action, std::uint32_t count) {
  vfio_irq_set set{};
  set.argsz = sizeof(set);
  set.flags = VFIO_IRQ_SET_DATA_NONE | action;
  set.index = index;
  set.count = count;
  void* argument = &set;  // clang lets no lambda capture a structure with a flexible array
  WithContext(Error("interrupt " + std::to_string(index)), [&] {
    CheckedIoctl(fd_, {VFIO_DEVICE_SET_IRQS, ActionName(action)}, argument);
  });
}

void VfioDevice::SetTrigger(std::uint32_t index, const Fd& eventfd) {
  SetEvent(index, VFIO_IRQ_SET_ACTION_TRIGGER, eventfd.get());
}

void VfioDevice::ClearTrigger(std::uint32_t index) {
  SetState(index, VFIO_IRQ_SET_ACTION_TRIGGER, 0);
}

void VfioDevice::SetUnmaskEvent(std::uint32_t index, const Fd& eventfd) {
  SetEvent(index, VFIO_IRQ_SET_ACTION_UNMASK, eventfd.get());
}

void VfioDevice::ClearUnmaskEvent(std::uint32_t index) {
  SetEvent(index, VFIO_IRQ_SET_ACTION_UNMASK, -1);
}

void VfioDevice::Mask(std::uint32_t index) { SetState(index, VFIO_IRQ_SET_ACTION_MASK, 1); }

void VfioDevice::Unmask(std::uint32_t index) { SetState(index, VFIO_IRQ_SET_ACTION_UNMASK, 1); }

bool VfioDevice::IsMasked(std::uint32_t index, const Fd& trigger, const Fd& probe) {
  bool masked = false;
  try {
    SetTrigger(index, probe);
    // Runs the kernel's handler of the interrupt, which masks it and signals; masked, it does
    // nothing.
    SetState(index, VFIO_IRQ_SET_ACTION_TRIGGER, 1);
    masked = !TakeSignal(probe);
  } catch (...) {
    // The guest must not stay deaf; what the probe may have masked comes again.
    SetTrigger(index, trigger);
    Unmask(index);
    throw;
  }
  SetTrigger(index, trigger);
  // The probe masked it, or the device's own interrupt went to the probe: a level comes again.
  if (!masked || TakeSignal(probe)) Unmask(index);
  return masked;
}

}  // namespace microvm
