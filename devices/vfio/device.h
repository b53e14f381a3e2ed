// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/host/fd.h"
#include "vmm/host/memory_mapping.h"

namespace microvm {

// A region of a VFIO device: for platform devices, one entry of `reg`.
struct VfioRegion {
  std::uint64_t size_bytes = 0;
  std::uint64_t offset = 0;  // in the device's descriptor
  bool mappable = false;     // page-aligned, so that it can be mapped into the guest
  bool readable = false;
  bool writable = false;
};

// An interrupt of a VFIO device. Platform devices have automasked (level) and edge interrupts.
struct VfioInterrupt {
  bool automasked = false;  // level: the kernel masks the line until it is told to unmask it
  // What the kernel was told when it asked for the line: EBUSY, another has it; EINVAL, it cannot
  // be asked for (kernel/irq/manage.c: request_threaded_irq). 0: it can be armed.
  int line_error = 0;
};

// One VFIO device: typed ioctls on its descriptor (include/uapi/linux/vfio.h). The constructor
// reads what the device has. Throws a chain that names region or interrupt and the ioctl.
class VfioDevice {
 public:
  explicit VfioDevice(Fd fd);

  [[nodiscard]] const std::vector<VfioRegion>& regions() const { return regions_; }
  [[nodiscard]] const std::vector<VfioInterrupt>& interrupts() const { return interrupts_; }
  [[nodiscard]] bool can_reset() const { return can_reset_; }
  [[nodiscard]] const Fd& fd() const { return fd_; }

  // Maps pages of a mappable region for reading and writing.
  [[nodiscard]] MemoryMapping MapRegion(std::uint32_t index, std::uint64_t offset,
                                        std::uint64_t size_bytes) const;

  // VFIO_DEVICE_RESET: the device stops DMA and interrupts. Only if can_reset().
  void Reset();

  // VFIO_DEVICE_SET_IRQS. The trigger is signalled by each interrupt; the first call enables the
  // line. The kernel unmasks an automasked interrupt when its unmask eventfd is signalled.
  void SetTrigger(std::uint32_t index, const Fd& eventfd);
  void ClearTrigger(std::uint32_t index);
  void SetUnmaskEvent(std::uint32_t index, const Fd& eventfd);
  void ClearUnmaskEvent(std::uint32_t index);
  void Mask(std::uint32_t index);
  void Unmask(std::uint32_t index);
  // Whether a level interrupt whose trigger is `trigger` is masked, by Mask or since it came, which
  // the kernel does not tell: it is made to signal `probe`, which nobody else may read, in place of
  // `trigger` for a moment, and to come. What is masked stays so, and no interrupt of the device is
  // lost or added. If it throws, the trigger may have gone.
  [[nodiscard]] bool IsMasked(std::uint32_t index, const Fd& trigger, const Fd& probe);

 private:
  void SetEvent(std::uint32_t index, std::uint32_t action, int eventfd);
  void SetState(std::uint32_t index, std::uint32_t action, std::uint32_t count);
  [[nodiscard]] VfioRegion ReadRegion(std::uint32_t index) const;
  [[nodiscard]] VfioInterrupt ReadInterrupt(std::uint32_t index);
  [[nodiscard]] int LineError(std::uint32_t index);

  Fd fd_;
  bool can_reset_ = false;
  std::vector<VfioRegion> regions_;
  std::vector<VfioInterrupt> interrupts_;
};

}  // namespace microvm
