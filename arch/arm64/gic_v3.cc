// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/gic_v3.h"

#include <linux/kvm.h>

#include "vmm/host/error.h"
#include "vmm/kvm/arm64_uapi.h"

namespace microvm {

namespace {

constexpr const char* kGicV3Type = "KVM_DEV_TYPE_ARM_VGIC_V3";

Error NoGicV3() {
  return Error("this host's KVM has no vGICv3",
               "the host needs a GICv3 (or a GICv4) whose virtualisation the kernel uses; "
               "check: dmesg | grep -i -e gic -e kvm");
}

}  // namespace

KvmDevice CreateGicV3(const Vm& vm) {
  return WithContext(NoGicV3(),
                     [&] { return KvmDevice(vm, KVM_DEV_TYPE_ARM_VGIC_V3, kGicV3Type); });
}

void CheckGicV3(const Vm& vm) {
  WithContext(NoGicV3(), [&] { KvmDevice::Check(vm, KVM_DEV_TYPE_ARM_VGIC_V3, kGicV3Type); });
}

void PlaceGicV3(KvmDevice& gic, const VmPlan& plan) {
  std::uint64_t distributor = plan.gic.distributor.start().value;
  gic.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressDist, &distributor,
                   "address of the distributor");
  // Count of redistributors in bits 63:52, base in 51:16, index of the region in 11:0.
  std::uint64_t region =
      static_cast<std::uint64_t>(plan.mpidrs.size()) << 52 | plan.gic.cpu_interfaces.start().value;
  gic.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressRedistRegion, &region,
                   "address of the redistributors");
}

}  // namespace microvm
