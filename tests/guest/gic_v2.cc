// SPDX-License-Identifier: Apache-2.0
#include "gic_v2.h"

#include "cpu.h"

namespace guest {
namespace {

constexpr std::uint64_t kSoftwareInterrupt = 0xf00;  // GICD_SGIR

// CPU interface (IHI 0048, 4.4).
constexpr std::uint64_t kCpuControl = 0x00;
constexpr std::uint64_t kPriorityMask = 0x04;
constexpr std::uint64_t kAcknowledge = 0x0c;
constexpr std::uint64_t kEndOfInterrupt = 0x10;
constexpr std::uint32_t kIntidMask = 0x3ff;

}  // namespace

GicV2::GicV2(const GicFacts& facts)
    : Gic(facts), distributor_(facts.distributor.start), cpu_interface_(facts.others[0].start) {}

void GicV2::StartDistributor() {
  const std::uint64_t base = facts().distributor.start;
  Write32(base + GicDistributor::kControl, 0);
  const std::uint32_t lines = distributor_.lines();
  for (std::uint32_t i = kFirstShared; i < lines; i += 32) {
    Write32(base + GicDistributor::kClearEnable + i / 8, 0xffff'ffff);
  }
  Write32(base + GicDistributor::kControl, 1);
}

void GicV2::StartCpu() {
  const std::uint64_t base = facts().distributor.start;
  Write32(base + GicDistributor::kClearEnable, 0xffff'0000);
  for (std::uint32_t intid = 0; intid < 16; ++intid) distributor_.SetPriority(intid);
  Write32(base + GicDistributor::kSetEnable, 0xffff);
  Write32(cpu_interface_ + kPriorityMask, 0xff);
  Write32(cpu_interface_ + kCpuControl, 1);
}

void GicV2::Enable(Interrupt interrupt) {
  Disable(interrupt);
  distributor_.SetTrigger(interrupt);
  distributor_.SetPriority(interrupt.intid);
  if (interrupt.intid >= kFirstShared) {
    // The targets of private interrupts read as the CPU that reads them.
    const std::uint64_t targets = facts().distributor.start + GicDistributor::kTargets;
    Write<std::uint8_t>(targets + interrupt.intid, Read<std::uint8_t>(targets));
  }
  distributor_.SetBit(GicDistributor::kSetEnable, interrupt.intid);
}

void GicV2::Disable(Interrupt interrupt) {
  distributor_.SetBit(GicDistributor::kClearEnable, interrupt.intid);
}

bool GicV2::IsEnabled(std::uint32_t intid) const {
  return distributor_.Bit(GicDistributor::kSetEnable, intid);
}

bool GicV2::IsPending(std::uint32_t intid) const {
  return distributor_.Bit(GicDistributor::kPending, intid);
}

bool GicV2::IsActive(std::uint32_t intid) const {
  return distributor_.Bit(GicDistributor::kActive, intid);
}

void GicV2::SendSoftwareInterrupt(std::uint32_t intid, std::uint64_t /*affinity*/, unsigned index) {
  DataBarrier();
  Write32(facts().distributor.start + kSoftwareInterrupt, 1U << (16 + index) | intid);
}

void GicV2::Service(const ExceptionFrame& frame) {
  const std::uint32_t acknowledged = Read32(cpu_interface_ + kAcknowledge);
  const std::uint32_t intid = acknowledged & kIntidMask;
  if (intid >= kFirstSpecialIntid) {
    CountSpurious();
    return;
  }
  Dispatch(intid, frame);
  DataBarrier();  // the device has seen the handler's writes before its line is looked at again
  Write32(cpu_interface_ + kEndOfInterrupt, acknowledged);
}

}  // namespace guest
