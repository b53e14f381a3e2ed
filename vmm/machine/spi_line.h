// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "devices/irq_line.h"
#include "vmm/kvm/kvm.h"

namespace microvm {

// An emulated device's wire into the vGIC.
class SpiLine final : public IrqLine {
 public:
  SpiLine(const Vm& vm, Spi spi) : vm_(vm), spi_(spi) {}
  void Set(bool high) noexcept override {
    // KVM refuses only numbers it does not have; this one is the plan's.
    [[maybe_unused]] const bool accepted = vm_.SetIrqLine(spi_, high);
  }

 private:
  const Vm& vm_;
  Spi spi_;
};

}  // namespace microvm
