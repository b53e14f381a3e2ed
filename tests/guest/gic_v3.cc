// SPDX-License-Identifier: Apache-2.0
#include "gic_v3.h"

#include "cpu.h"
#include "failure.h"

namespace guest {
namespace {

// GICD_CTLR (IHI 0069, 12.9.4).
constexpr std::uint32_t kAffinityRouting = 1 << 4;
constexpr std::uint32_t kEnableGroup1 = 1 << 1;
constexpr std::uint32_t kWritePending = 1U << 31;
constexpr std::uint64_t kRoute = 0x6000;

// Redistributor frames (12.10, 12.11).
constexpr std::uint64_t kFrame = 0x1'0000;
constexpr std::uint64_t kTypeRegister = 0x08;
constexpr std::uint64_t kWaker = 0x14;
constexpr std::uint32_t kProcessorSleep = 1 << 1;
constexpr std::uint32_t kChildrenAsleep = 1 << 2;
constexpr std::uint64_t kVirtualLpis = 1 << 1;
constexpr std::uint64_t kLast = 1 << 4;

std::uint64_t Acknowledge() {
  std::uint64_t intid;
  asm volatile("mrs %0, S3_0_C12_C12_0" : "=r"(intid)::"memory");  // ICC_IAR1_EL1
  return intid;
}

void EndOfInterrupt(std::uint64_t intid) {
  asm volatile("msr S3_0_C12_C12_1, %0" ::"r"(intid) : "memory");  // ICC_EOIR1_EL1
}

void StartSystemRegisters() {
  std::uint64_t enable;
  asm volatile("mrs %0, S3_0_C12_C12_5" : "=r"(enable));  // ICC_SRE_EL1
  asm volatile("msr S3_0_C12_C12_5, %0\n\tisb" ::"r"(enable | 1));
  asm volatile("msr S3_0_C4_C6_0, %0" ::"r"(0xffUL));        // ICC_PMR_EL1
  asm volatile("msr S3_0_C12_C12_4, %0" ::"r"(0UL));         // ICC_CTLR_EL1
  asm volatile("msr S3_0_C12_C12_7, %0\n\tisb" ::"r"(1UL));  // ICC_IGRPEN1_EL1
}

// MPIDR_EL1 layout to GICR_TYPER.Affinity_Value layout: Aff3 moves next to Aff2.
std::uint64_t PackAffinity(std::uint64_t affinity) {
  return (affinity & 0xff'ffff) | (affinity >> 32 & 0xff) << 24;
}

}  // namespace

GicV3::GicV3(const GicFacts& facts) : Gic(facts), distributor_(facts.distributor.start) {}

void GicV3::WaitForWrites() const {
  while ((Read32(facts().distributor.start + GicDistributor::kControl) & kWritePending) != 0) {
  }
}

void GicV3::StartDistributor() {
  const std::uint64_t base = facts().distributor.start;
  Write32(base + GicDistributor::kControl, 0);
  WaitForWrites();
  const std::uint32_t lines = distributor_.lines();
  for (std::uint32_t i = kFirstShared; i < lines; i += 32) {
    Write32(base + GicDistributor::kClearEnable + i / 8, 0xffff'ffff);
    Write32(base + GicDistributor::kGroup + i / 8, 0xffff'ffff);
  }
  Write32(base + GicDistributor::kControl, kAffinityRouting | kEnableGroup1);
  WaitForWrites();
}

std::uint64_t GicV3::Redistributor() const {
  const std::uint64_t wanted = PackAffinity(Affinity());
  for (const PhysicalRange& region : facts().others) {
    for (std::uint64_t base = region.start; base < region.end();) {
      const auto type = Read<std::uint64_t>(base + kTypeRegister);
      if (type >> 32 == wanted) return base;
      if ((type & kLast) != 0) break;
      base += (type & kVirtualLpis) != 0 ? 4 * kFrame : 2 * kFrame;
    }
  }
  Fail("no redistributor for affinity ", Hex{Affinity()});
}

void GicV3::StartCpu() {
  const std::uint64_t base = Redistributor();
  Write32(base + kWaker, Read32(base + kWaker) & ~kProcessorSleep);
  while ((Read32(base + kWaker) & kChildrenAsleep) != 0) {
  }
  const std::uint64_t private_bank = base + kFrame;
  Write32(private_bank + GicDistributor::kClearEnable, 0xffff'0000);
  Write32(private_bank + GicDistributor::kGroup, 0xffff'ffff);
  for (std::uint32_t intid = 0; intid < 16; ++intid) {
    GicDistributor(private_bank).SetPriority(intid);
  }
  Write32(private_bank + GicDistributor::kSetEnable, 0xffff);
  StartSystemRegisters();
}

GicDistributor GicV3::BankOf(Interrupt interrupt) const {
  if (interrupt.intid >= kFirstShared) return distributor_;
  return GicDistributor(Redistributor() + kFrame);
}

void GicV3::Enable(Interrupt interrupt) {
  const GicDistributor bank = BankOf(interrupt);
  Disable(interrupt);
  bank.SetTrigger(interrupt);
  bank.SetPriority(interrupt.intid);
  if (interrupt.intid >= kFirstShared) {
    const std::uint64_t offset = kRoute + std::uint64_t{interrupt.intid} * 8;
    Write<std::uint64_t>(facts().distributor.start + offset, Affinity());
  }
  bank.SetBit(GicDistributor::kSetEnable, interrupt.intid);
  WaitForWrites();
}

void GicV3::Disable(Interrupt interrupt) {
  BankOf(interrupt).SetBit(GicDistributor::kClearEnable, interrupt.intid);
  WaitForWrites();
}

bool GicV3::IsEnabled(std::uint32_t intid) const {
  return distributor_.Bit(GicDistributor::kSetEnable, intid);
}

bool GicV3::IsPending(std::uint32_t intid) const {
  return distributor_.Bit(GicDistributor::kPending, intid);
}

bool GicV3::IsActive(std::uint32_t intid) const {
  return distributor_.Bit(GicDistributor::kActive, intid);
}

void GicV3::SendSoftwareInterrupt(std::uint32_t intid, std::uint64_t affinity, unsigned /*index*/) {
  // ICC_SGI1R_EL1: Aff3 at 48, Aff2 at 32, INTID at 24, Aff1 at 16, one bit for Aff0 of 16.
  const std::uint64_t value = (affinity >> 32 & 0xff) << 48 | (affinity >> 16 & 0xff) << 32 |
                              (affinity & 0xf0) << 40 | std::uint64_t{intid} << 24 |
                              (affinity >> 8 & 0xff) << 16 | 1ULL << (affinity & 0xf);
  asm volatile("dsb sy\n\tmsr S3_0_C12_C11_5, %0\n\tisb" ::"r"(value) : "memory");
}

void GicV3::Service(const ExceptionFrame& frame) {
  const std::uint64_t intid = Acknowledge();
  if (intid >= kFirstSpecialIntid) {
    CountSpurious();
    return;
  }
  Dispatch(intid, frame);
  DataBarrier();  // the device has seen the handler's writes before its line is looked at again
  EndOfInterrupt(intid);
}

}  // namespace guest
