// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/kvm/kvm.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// What is a GICv3's own of KVM's interrupt controller
// (Documentation/virt/kvm/devices/arm-vgic-v3.rst). All throw a chain with the remedy.
KvmDevice CreateGicV3(const Vm& vm);
// Throws what CreateGicV3 would, and makes nothing.
void CheckGicV3(const Vm& vm);
void PlaceGicV3(KvmDevice& gic, const VmPlan& plan);

}  // namespace microvm
