// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/kvm/kvm.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// KVM's in-kernel interrupt controller as the plan has it: made, placed, initialised, and told the
// triggers of the devices' SPIs. All vCPUs exist before it, and irqfds come after it. Throws a
// chain with the remedy.
KvmDevice MakeGic(const Vm& vm, const VmPlan& plan);

// What the interrupt controller knows of an SPI.
struct SpiState {
  bool pending = false;
  bool active = false;
  Trigger trigger = Trigger::kLevel;  // as the guest has configured it
};

// Reads it. No vCPU may run meanwhile: KVM answers EBUSY else. Throws a chain.
SpiState ReadSpi(const KvmDevice& gic, GicVersion version, Spi spi);

// Throws what MakeGic would if this host's KVM has no such interrupt controller: makes a virtual
// machine to ask it, and nothing else.
void CheckGic(const Kvm& kvm, const VmPlan& plan);

}  // namespace microvm
