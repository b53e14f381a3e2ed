// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/ioeventfd.h"

#include <linux/kvm.h>

#include <cstdio>
#include <utility>

namespace microvm {
namespace {

kvm_ioeventfd Describe(GuestAddress address, std::optional<std::uint32_t> value, int eventfd) {
  kvm_ioeventfd description{};
  description.addr = address.value;
  description.len = 4;
  description.fd = eventfd;
  if (value) {
    description.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
    description.datamatch = *value;
  }
  return description;
}

}  // namespace

Ioeventfd::Ioeventfd(const Vm& vm, GuestAddress address, std::optional<std::uint32_t> value,
                     const Fd& eventfd, LogBudget& log)
    : vm_(&vm.fd()), address_(address), value_(value), eventfd_(eventfd.get()), log_(&log) {
  kvm_ioeventfd description = Describe(address_, value_, eventfd_);
  WithContext(Error("writes to " + Hex(address.value)),
              [&] { CheckedIoctl(*vm_, IOCTL_CODE(KVM_IOEVENTFD), &description); });
}

Ioeventfd::Ioeventfd(Ioeventfd&& other) noexcept
    : vm_(std::exchange(other.vm_, nullptr)),
      address_(other.address_),
      value_(other.value_),
      eventfd_(other.eventfd_),
      log_(other.log_) {}

Ioeventfd::~Ioeventfd() {
  if (vm_ == nullptr) return;
  kvm_ioeventfd description = Describe(address_, value_, eventfd_);
  description.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
  if (vm_->kernel().Ioctl(vm_->get(), KVM_IOEVENTFD, &description) != 0 && log_->Take() > 0) {
    std::perror("microvm: KVM_IOEVENTFD (deassign)");
  }
}

}  // namespace microvm
