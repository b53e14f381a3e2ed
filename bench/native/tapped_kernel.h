// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "vmm/host/linux_kernel.h"

namespace microvm::bench {

// The real kernel, which takes note of what a loopback needs as the machine is built: the device
// whose interrupts are armed, and where the guest's memory is. Any thread may ask.
class TappedKernel final : public LinuxKernel {
 public:
  int Ioctl(int fd, unsigned long request, void* argument) override;

  // Raises the first interrupt that was armed, as if the device had (VFIO_IRQ_SET_DATA_BOOL).
  // Throws std::system_error where VFIO cannot, and std::logic_error before one was armed.
  void Raise() const;

  // The guest's memory at a guest address, with `bytes` behind it; nullptr if it has none there.
  [[nodiscard]] void* At(std::uint64_t guest_address, std::uint64_t bytes) const;

  // Whether the guest's virtual counter is the host's (KVM_ARM_SET_COUNTER_OFFSET, Linux 6.4).
  [[nodiscard]] bool one_counter() const { return one_counter_; }

 private:
  struct Armed {
    int device;
    std::uint32_t index;
  };
  struct Slot {
    std::uint64_t guest_address;
    std::uint64_t bytes;
    std::byte* pointer;
  };
  mutable std::mutex mutex_;  // guards those below
  std::optional<Armed> armed_;
  std::optional<Slot> memory_;  // the largest
  bool one_counter_ = false;
};

}  // namespace microvm::bench
