// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/gic.h"

#include <map>

#include "arch/arm64/gic_v2.h"
#include "arch/arm64/gic_v3.h"
#include "vmm/kvm/arm64_uapi.h"

namespace microvm {
namespace {

// Arm IHI 0048, 4.3.13, and IHI 0069, 12.9.9: two bits an interrupt in both.
constexpr std::uint64_t kGicdIcfgr = 0xc00;
// 4.3.7 and 4.3.9; 12.9.22 and 12.9.20: one bit an interrupt.
constexpr std::uint64_t kGicdIspendr = 0x200;
constexpr std::uint64_t kGicdIsactiver = 0x300;

void ConfigureTriggers(KvmDevice& gic, const std::vector<PlannedDevice>& devices) {
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
    gic.SetAttribute(arm64::kVgicGroupDistRegs, offset, &value, "GICD_ICFGR");
  }
}

}  // namespace

KvmDevice MakeGic(const Vm& vm, const VmPlan& plan) {
  KvmDevice gic = plan.gic.version == GicVersion::kV3 ? CreateGicV3(vm) : CreateGicV2(vm);
  std::uint32_t interrupts = 32 + plan.spi_count;
  gic.SetAttribute(arm64::kVgicGroupNrIrqs, 0, &interrupts, "number of interrupts");
  if (plan.gic.version == GicVersion::kV3) {
    PlaceGicV3(gic, plan);
  } else {
    PlaceGicV2(gic, plan);
  }
  gic.SetAttribute(arm64::kVgicGroupControl, arm64::kVgicControlInit, nullptr,
                   "KVM_DEV_ARM_VGIC_CTRL_INIT");
  ConfigureTriggers(gic, plan.devices);
  return gic;
}

SpiState ReadSpi(const KvmDevice& gic, GicVersion version, Spi spi) {
  const std::uint32_t intid = spi.intid();
  const std::uint32_t first = intid / 32 * 32;
  const auto bit = [&](std::uint32_t group, std::uint64_t attribute, const char* what) {
    return (gic.GetAttribute32(group, attribute, what) >> intid % 32 & 1) != 0;
  };
  SpiState state;
  state.pending = bit(arm64::kVgicGroupDistRegs, kGicdIspendr + first / 8, "GICD_ISPENDR");
  // Of a GICv3 that is the latch alone (Documentation/virt/kvm/devices/arm-vgic-v3.rst).
  if (version == GicVersion::kV3 && !state.pending) {
    state.pending = bit(arm64::kVgicGroupLevelInfo, first, "VGIC_LEVEL_INFO_LINE_LEVEL");
  }
  state.active = bit(arm64::kVgicGroupDistRegs, kGicdIsactiver + first / 8, "GICD_ISACTIVER");
  const std::uint32_t configuration = gic.GetAttribute32(
      arm64::kVgicGroupDistRegs, kGicdIcfgr + std::uint64_t{intid / 16} * 4, "GICD_ICFGR");
  if ((configuration >> intid % 16 * 2 & 2) != 0) state.trigger = Trigger::kEdge;
  return state;
}

void CheckGic(const Kvm& kvm, const VmPlan& plan) {
  const Vm vm(kvm, plan.ipa_bits);
  if (plan.gic.version == GicVersion::kV3) {
    CheckGicV3(vm);
  } else {
    CheckGicV2(vm);
  }
}

}  // namespace microvm
