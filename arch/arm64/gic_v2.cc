// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/gic_v2.h"

#include <linux/kvm.h>

#include "vmm/host/error.h"
#include "vmm/kvm/arm64_uapi.h"

namespace microvm {

namespace {

constexpr const char* kGicV2Type = "KVM_DEV_TYPE_ARM_VGIC_V2";

Error NoGicV2() {
  return Error("this host's KVM has no vGICv2",
               "the host needs a GICv2 with the virtualisation extensions (GICV and GICH in its "
               "device tree); check: dmesg | grep -i -e gic -e kvm");
}

}  // namespace

KvmDevice CreateGicV2(const Vm& vm) {
  return WithContext(NoGicV2(),
                     [&] { return KvmDevice(vm, KVM_DEV_TYPE_ARM_VGIC_V2, kGicV2Type); });
}

void CheckGicV2(const Vm& vm) {
  WithContext(NoGicV2(), [&] { KvmDevice::Check(vm, KVM_DEV_TYPE_ARM_VGIC_V2, kGicV2Type); });
}

void PlaceGicV2(KvmDevice& gic, const VmPlan& plan) {
  std::uint64_t distributor = plan.gic.distributor.start().value;
  gic.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV2AddressDist, &distributor,
                   "address of the distributor");
  std::uint64_t cpu_interface = plan.gic.cpu_interfaces.start().value;
  gic.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV2AddressCpu, &cpu_interface,
                   "address of the CPU interface");
}

}  // namespace microvm
