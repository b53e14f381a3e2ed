// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmm/kvm/kvm.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// KVM's in-kernel GICv3 (Documentation/virt/kvm/devices/arm-vgic-v3.rst), initialised by the
// constructor: all vCPUs exist before it, and irqfds come after it. Throws a chain with the remedy.
class GicV3 {
 public:
  GicV3(const Vm& vm, const VmPlan& plan);

  // Throws what the constructor would if this host's KVM has no vGICv3: makes a virtual machine to
  // ask it, and nothing else.
  static void Check(const Kvm& kvm, unsigned ipa_bits);

 private:
  void ConfigureTriggers(const std::vector<PlannedDevice>& devices);

  KvmDevice device_;
};

}  // namespace microvm
