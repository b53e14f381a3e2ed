// SPDX-License-Identifier: Apache-2.0
#include "bench/native/tapped_kernel.h"

#include <linux/kvm.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace microvm::bench {
namespace {

// Of arm64's asm/kvm.h, which other machines' headers lack.
struct CounterOffset {
  std::uint64_t counter_offset = 0;
  std::uint64_t reserved = 0;
};
constexpr unsigned long kSetCounterOffset = _IOW(KVMIO, 0xb5, CounterOffset);

}  // namespace

int TappedKernel::Ioctl(int fd, unsigned long request, void* argument) {
  const int result = LinuxKernel::Ioctl(fd, request, argument);
  if (result < 0) return result;
  if (request == KVM_CREATE_VM) {
    CounterOffset offset;
    one_counter_ = LinuxKernel::Ioctl(result, kSetCounterOffset, &offset) == 0;
  } else if (request == KVM_SET_USER_MEMORY_REGION) {
    kvm_userspace_memory_region region{};
    std::memcpy(&region, argument, sizeof(region));
    const std::lock_guard lock(mutex_);
    if (!memory_ || region.memory_size > memory_->bytes) {
      memory_ = {region.guest_phys_addr, region.memory_size,
                 std::bit_cast<std::byte*>(region.userspace_addr)};
    }
  } else if (request == VFIO_DEVICE_SET_IRQS) {
    vfio_irq_set set{};
    std::memcpy(&set, argument, sizeof(set));
    constexpr std::uint32_t kArming = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    const std::lock_guard lock(mutex_);
    if (set.flags == kArming && !armed_) armed_ = {fd, set.index};
  }
  return result;
}

void TappedKernel::Raise() const {
  Armed armed{};
  {
    const std::lock_guard lock(mutex_);
    if (!armed_) throw std::logic_error("the device has no interrupt that could be raised");
    armed = *armed_;
  }
  vfio_irq_set set{};
  std::array<char, sizeof(set) + 1> request{};
  set.argsz = request.size();
  set.flags = VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER;
  set.index = armed.index;
  set.count = 1;
  std::memcpy(request.data(), &set, sizeof(set));
  request.back() = 1;
  if (ioctl(armed.device, VFIO_DEVICE_SET_IRQS, request.data()) < 0) {
    throw std::system_error(errno, std::generic_category(),
                            "VFIO cannot raise the device's interrupt (VFIO_IRQ_SET_DATA_BOOL)");
  }
}

void* TappedKernel::At(std::uint64_t guest_address, std::uint64_t bytes) const {
  const std::lock_guard lock(mutex_);
  if (!memory_ || guest_address < memory_->guest_address) return nullptr;
  const std::uint64_t offset = guest_address - memory_->guest_address;
  if (offset > memory_->bytes || bytes > memory_->bytes - offset) return nullptr;
  return memory_->pointer + offset;
}

}  // namespace microvm::bench
