// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/kvm/kvm.h"

namespace microvm {

// Registers an eventfd with KVM (KVM_IRQFD) so that each signal injects an SPI, without a wake-up
// of user space; with `resample`, the line stays high until the guest's EOI, when KVM signals
// `resample`. Deassigned on destruction. The VM and both descriptors outlive it, and the vGIC is
// initialised before it: KVM_IRQFD answers EAGAIN until then (virt/kvm/eventfd.c).
class Irqfd {
 public:
  static Irqfd Edge(const Vm& vm, Spi spi, const Fd& trigger) {
    return {vm, spi, trigger, nullptr};
  }
  static Irqfd Level(const Vm& vm, Spi spi, const Fd& trigger, const Fd& resample) {
    return {vm, spi, trigger, &resample};
  }

  Irqfd(const Irqfd&) = delete;
  Irqfd& operator=(const Irqfd&) = delete;
  Irqfd(Irqfd&& other) noexcept;
  Irqfd& operator=(Irqfd&&) = delete;
  ~Irqfd();

 private:
  Irqfd(const Vm& vm, Spi spi, const Fd& trigger, const Fd* resample);

  const Fd* vm_;
  Spi spi_;
  int trigger_;
};

}  // namespace microvm
