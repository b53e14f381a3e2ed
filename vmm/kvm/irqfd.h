// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/host/log_budget.h"
#include "vmm/kvm/kvm.h"

namespace microvm {

// Registers an eventfd with KVM (KVM_IRQFD) so that each signal injects an SPI, without a wake-up
// of user space; with `resample`, the line stays high until the guest's EOI, when KVM signals
// `resample`. Deassigned on destruction, whose failure goes to `log`. The VM, both descriptors and
// `log` outlive it, and the vGIC is initialised before it: KVM_IRQFD answers EAGAIN until then
// (virt/kvm/eventfd.c).
class Irqfd {
 public:
  static Irqfd Edge(const Vm& vm, Spi spi, const Fd& trigger, LogBudget& log) {
    return {vm, spi, trigger, nullptr, log};
  }
  static Irqfd Level(const Vm& vm, Spi spi, const Fd& trigger, const Fd& resample, LogBudget& log) {
    return {vm, spi, trigger, &resample, log};
  }

  Irqfd(const Irqfd&) = delete;
  Irqfd& operator=(const Irqfd&) = delete;
  Irqfd(Irqfd&& other) noexcept;
  Irqfd& operator=(Irqfd&&) = delete;
  ~Irqfd();

 private:
  Irqfd(const Vm& vm, Spi spi, const Fd& trigger, const Fd* resample, LogBudget& log);

  const Fd* vm_;
  Spi spi_;
  int trigger_;
  LogBudget* log_;
};

}  // namespace microvm
