// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/kvm.h>

#include <cstdint>

// The parts of KVM's user API that only arm64's <asm/kvm.h> defines, so that everything above the
// system calls also builds, and is tested, on x86-64. On arm64 each is checked against the kernel's
// own header. Source: Linux arch/arm64/include/uapi/asm/kvm.h, Documentation/virt/kvm/api.rst.
namespace microvm::arm64 {

struct VcpuInit {
  std::uint32_t target;
  std::uint32_t features[7];  // NOLINT(modernize-avoid-c-arrays): the kernel's layout
};

// The prefix of struct kvm_vcpu_events that injects an external abort.
struct VcpuEvents {
  std::uint8_t serror_pending;
  std::uint8_t serror_has_esr;
  std::uint8_t ext_dabt_pending;
  std::uint8_t pad[5];  // NOLINT(modernize-avoid-c-arrays): the kernel's layout
  std::uint64_t serror_esr;
  std::uint32_t reserved[12];  // NOLINT(modernize-avoid-c-arrays): the kernel's layout
};

constexpr unsigned long kKvmArmVcpuInit = _IOC(_IOC_WRITE, KVMIO, 0xae, sizeof(VcpuInit));
constexpr unsigned long kKvmArmPreferredTarget = _IOC(_IOC_READ, KVMIO, 0xaf, sizeof(VcpuInit));
constexpr unsigned long kKvmArmVcpuFinalize = _IOC(_IOC_WRITE, KVMIO, 0xc2, sizeof(int));
constexpr unsigned long kKvmSetVcpuEvents = _IOC(_IOC_WRITE, KVMIO, 0xa0, sizeof(VcpuEvents));

// Bits of VcpuInit::features.
enum class VcpuFeature : unsigned {
  kPowerOff = 0,
  kPsci02 = 2,
  kPmuV3 = 3,
  kSve = 4,
  kPtrauthAddress = 5,
  kPtrauthGeneric = 6,
};

// KVM_REG_ARM64 | size U64 | coprocessor << 16.
constexpr std::uint64_t kRegCore = 0x6030'0000'0010'0000;
constexpr std::uint64_t kRegSystem = 0x6030'0000'0013'0000;
// Core registers are numbered in 32-bit words of struct kvm_regs: x0..x30, sp, pc, pstate.
constexpr std::uint64_t CoreRegisterX(unsigned number) { return kRegCore + 2ULL * number; }
constexpr std::uint64_t kCoreRegisterPc = kRegCore + 64;
constexpr std::uint64_t kCoreRegisterPstate = kRegCore + 66;
// op0 << 14 | op1 << 11 | CRn << 7 | CRm << 3 | op2.
constexpr std::uint64_t SystemRegister(unsigned op0, unsigned op1, unsigned crn, unsigned crm,
                                       unsigned op2) {
  return kRegSystem | op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2;
}
constexpr std::uint64_t kMpidrEl1 = SystemRegister(3, 0, 0, 0, 5);

// KVM_IRQ_LINE: type << 24 | INTID.
constexpr std::uint32_t kIrqTypeSpi = 1U << 24;

// Groups and attributes of the in-kernel vGICs (Documentation/virt/kvm/devices/arm-vgic-v3.rst and
// arm-vgic.rst).
constexpr std::uint32_t kVgicGroupAddress = 0;
constexpr std::uint32_t kVgicGroupDistRegs = 1;
constexpr std::uint32_t kVgicGroupNrIrqs = 3;
constexpr std::uint32_t kVgicGroupControl = 4;
constexpr std::uint32_t kVgicGroupLevelInfo = 7;  // v3; the attribute: the first of 32 INTIDs
constexpr std::uint64_t kVgicV2AddressDist = 0;
constexpr std::uint64_t kVgicV2AddressCpu = 1;
constexpr std::uint64_t kVgicV3AddressDist = 2;
constexpr std::uint64_t kVgicV3AddressRedistRegion = 5;
constexpr std::uint64_t kVgicControlInit = 0;
// Attributes of a vCPU (Documentation/virt/kvm/devices/vcpu.rst).
constexpr std::uint32_t kVcpuGroupPmuV3 = 0;
constexpr std::uint64_t kVcpuPmuV3Irq = 0;
constexpr std::uint64_t kVcpuPmuV3Init = 1;

#ifdef __aarch64__
static_assert(sizeof(VcpuInit) == sizeof(kvm_vcpu_init));
static_assert(sizeof(VcpuEvents) == sizeof(kvm_vcpu_events));
static_assert(kKvmArmVcpuInit == KVM_ARM_VCPU_INIT);
static_assert(kKvmArmPreferredTarget == KVM_ARM_PREFERRED_TARGET);
static_assert(kKvmArmVcpuFinalize == KVM_ARM_VCPU_FINALIZE);
static_assert(kKvmSetVcpuEvents == KVM_SET_VCPU_EVENTS);
static_assert(CoreRegisterX(3) == (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
                                   KVM_REG_ARM_CORE_REG(regs.regs[3])));
static_assert(kCoreRegisterPc == (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
                                  KVM_REG_ARM_CORE_REG(regs.pc)));
static_assert(kCoreRegisterPstate == (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
                                      KVM_REG_ARM_CORE_REG(regs.pstate)));
static_assert(kMpidrEl1 == ARM64_SYS_REG(3, 0, 0, 0, 5));
static_assert(kIrqTypeSpi == KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT);
static_assert(kVgicGroupDistRegs == KVM_DEV_ARM_VGIC_GRP_DIST_REGS);
static_assert(kVgicGroupNrIrqs == KVM_DEV_ARM_VGIC_GRP_NR_IRQS);
static_assert(kVgicGroupControl == KVM_DEV_ARM_VGIC_GRP_CTRL);
static_assert(kVgicGroupLevelInfo == KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO);
static_assert(VGIC_LEVEL_INFO_LINE_LEVEL == 0);
static_assert(kVgicV2AddressDist == KVM_VGIC_V2_ADDR_TYPE_DIST);
static_assert(kVgicV2AddressCpu == KVM_VGIC_V2_ADDR_TYPE_CPU);
static_assert(kVgicV3AddressDist == KVM_VGIC_V3_ADDR_TYPE_DIST);
static_assert(kVgicV3AddressRedistRegion == KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION);
static_assert(kVcpuGroupPmuV3 == KVM_ARM_VCPU_PMU_V3_CTRL);
#endif

}  // namespace microvm::arm64
