// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/irqfd.h"

#include <linux/kvm.h>

#include <cstdio>
#include <utility>

namespace microvm {

Irqfd::Irqfd(const Vm& vm, Spi spi, const Fd& trigger, const Fd* resample, LogBudget& log)
    : vm_(&vm.fd()), spi_(spi), trigger_(trigger.get()), log_(&log) {
  kvm_irqfd irqfd{};
  irqfd.fd = static_cast<std::uint32_t>(trigger_);
  irqfd.gsi = spi.number;
  if (resample != nullptr) {
    irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
    irqfd.resamplefd = static_cast<std::uint32_t>(resample->get());
  }
  WithContext(Error("SPI " + std::to_string(spi.number)),
              [&] { CheckedIoctl(*vm_, IOCTL_CODE(KVM_IRQFD), &irqfd); });
}

Irqfd::Irqfd(Irqfd&& other) noexcept
    : vm_(std::exchange(other.vm_, nullptr)),
      spi_(other.spi_),
      trigger_(other.trigger_),
      log_(other.log_) {}

Irqfd::~Irqfd() {
  if (vm_ == nullptr) return;
  kvm_irqfd irqfd{};
  irqfd.fd = static_cast<std::uint32_t>(trigger_);
  irqfd.gsi = spi_.number;
  irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
  if (vm_->kernel().Ioctl(vm_->get(), KVM_IRQFD, &irqfd) != 0 && log_->Take() > 0) {
    std::perror("microvm: KVM_IRQFD (deassign)");
  }
}

}  // namespace microvm
