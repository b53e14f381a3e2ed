// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/gic_v3.h"

#include <linux/kvm.h>

#include <map>

#include "vmm/host/error.h"
#include "vmm/kvm/arm64_uapi.h"

namespace microvm {
namespace {

constexpr std::uint64_t kGicdIcfgr = 0xc00;  // Arm IHI 0069, 12.9.9: two bits an interrupt

constexpr const char* kTypeName = "KVM_DEV_TYPE_ARM_VGIC_V3";

Error NoVgic() {
  return Error("this host's KVM has no vGICv3",
               "the host needs a GICv3 (or a GICv4) whose virtualisation the kernel uses; "
               "check: dmesg | grep -i -e gic -e kvm");
}

KvmDevice CreateDevice(const Vm& vm) {
  return WithContext(NoVgic(), [&] { return KvmDevice(vm, KVM_DEV_TYPE_ARM_VGIC_V3, kTypeName); });
}

}  // namespace

GicV3::GicV3(const Vm& vm, const VmPlan& plan) : device_(CreateDevice(vm)) {
  std::uint32_t interrupts = 32 + plan.spi_count;
  device_.SetAttribute(arm64::kVgicGroupNrIrqs, 0, &interrupts, "number of interrupts");
  std::uint64_t distributor = plan.gic_distributor.start().value;
  device_.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressDist, &distributor,
                       "address of the distributor");
  // Count of redistributors in bits 63:52, base in 51:16, index of the region in 11:0.
  std::uint64_t region =
      static_cast<std::uint64_t>(plan.mpidrs.size()) << 52 | plan.gic_redistributors.start().value;
  device_.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressRedistRegion, &region,
                       "address of the redistributors");
  device_.SetAttribute(arm64::kVgicGroupControl, arm64::kVgicControlInit, nullptr,
                       "KVM_DEV_ARM_VGIC_CTRL_INIT");
  ConfigureTriggers(plan.devices);
}

void GicV3::Check(const Kvm& kvm, unsigned ipa_bits) {
  const Vm vm(kvm, ipa_bits);
  WithContext(NoVgic(), [&] { KvmDevice::Check(vm, KVM_DEV_TYPE_ARM_VGIC_V3, kTypeName); });
}

void GicV3::ConfigureTriggers(const std::vector<PlannedDevice>& devices) {
  // SPIs reset to edge. A level that is high before the guest's driver has configured its SPI
  // must already be kept as a level, or it would not be resampled at the guest's EOI.
  std::map<std::uint64_t, std::uint32_t> registers;
  for (const PlannedDevice& device : devices) {
    for (const PlannedInterrupt& interrupt : device.interrupts) {
      const std::uint32_t intid = interrupt.spi.intid();
      std::uint32_t& value = registers[kGicdIcfgr + std::uint64_t{intid / 16} * 4];
      if (interrupt.trigger == Trigger::kEdge) value |= 2U << (intid % 16 * 2);
    }
  }
  for (auto& [offset, value] : registers) {
    device_.SetAttribute(arm64::kVgicGroupDistRegs, offset, &value, "GICD_ICFGR");
  }
}

}  // namespace microvm
