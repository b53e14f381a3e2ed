// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/kvm/kvm.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// What is a GICv2's own of KVM's interrupt controller (Documentation/virt/kvm/devices/
// arm-vgic.rst): for hosts with a GIC-400 or the like, and at most 8 vCPUs. All throw a chain with
// the remedy.
KvmDevice CreateGicV2(const Vm& vm);
// Throws what CreateGicV2 would, and makes nothing.
void CheckGicV2(const Vm& vm);
void PlaceGicV2(KvmDevice& gic, const VmPlan& plan);

}  // namespace microvm
