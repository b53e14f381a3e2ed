// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/vcpu.h"

#include <atomic>
#include <cerrno>

#include "vmm/host/error.h"

namespace microvm {
namespace {

using arm64::VcpuFeature;

void Enable(arm64::VcpuInit& init, VcpuFeature feature) {
  init.features[0] |= 1U << static_cast<unsigned>(feature);
}

}  // namespace

Vcpu::Vcpu(const Kvm& kvm, const Vm& vm, unsigned id, const VcpuFeatures& features)
    : fd_(vm.fd().kernel(), CheckedIoctl(vm.fd(), IOCTL_CODE(KVM_CREATE_VCPU), id)),
      mapping_(MemoryMapping::OfFile(fd_, kvm.run_mapping_bytes(), 0)),
      run_(static_cast<kvm_run*>(mapping_.data())) {
  arm64::VcpuInit init{};
  CheckedIoctl(vm.fd(), {arm64::kKvmArmPreferredTarget, "KVM_ARM_PREFERRED_TARGET"}, &init);
  Enable(init, VcpuFeature::kPsci02);
  if (id != 0) Enable(init, VcpuFeature::kPowerOff);
  if (features.pmu) Enable(init, VcpuFeature::kPmuV3);
  if (features.sve) Enable(init, VcpuFeature::kSve);
  if (features.pauth) {
    Enable(init, VcpuFeature::kPtrauthAddress);
    Enable(init, VcpuFeature::kPtrauthGeneric);
  }
  CheckedIoctl(fd_, {arm64::kKvmArmVcpuInit, "KVM_ARM_VCPU_INIT"}, &init);
  if (features.sve) {
    int feature = static_cast<int>(VcpuFeature::kSve);
    CheckedIoctl(fd_, {arm64::kKvmArmVcpuFinalize, "KVM_ARM_VCPU_FINALIZE"}, &feature);
  }
}

void Vcpu::InitialisePmu(std::uint32_t intid) {
  int irq = static_cast<int>(intid);
  kvm_device_attr attr{};
  attr.group = arm64::kVcpuGroupPmuV3;
  attr.attr = arm64::kVcpuPmuV3Irq;
  attr.addr = reinterpret_cast<std::uintptr_t>(&irq);
  WithContext(Error("PMU"), [&] {
    CheckedIoctl(fd_, IOCTL_CODE(KVM_SET_DEVICE_ATTR), &attr);
    attr.attr = arm64::kVcpuPmuV3Init;
    attr.addr = 0;
    CheckedIoctl(fd_, IOCTL_CODE(KVM_SET_DEVICE_ATTR), &attr);
  });
}

std::uint64_t Vcpu::GetRegister(std::uint64_t id) const {
  std::uint64_t value = 0;
  kvm_one_reg reg{id, reinterpret_cast<std::uintptr_t>(&value)};
  WithContext(Error("register " + Hex(id)),
              [&] { CheckedIoctl(fd_, IOCTL_CODE(KVM_GET_ONE_REG), &reg); });
  return value;
}

void Vcpu::SetRegister(std::uint64_t id, std::uint64_t value) {
  kvm_one_reg reg{id, reinterpret_cast<std::uintptr_t>(&value)};
  WithContext(Error("register " + Hex(id)),
              [&] { CheckedIoctl(fd_, IOCTL_CODE(KVM_SET_ONE_REG), &reg); });
}

int Vcpu::Run() noexcept {
  return fd_.kernel().Ioctl(fd_.get(), KVM_RUN, nullptr) == 0 ? 0 : errno;
}

void Vcpu::RequestExit() noexcept {
  // The one byte of kvm_run that another thread may touch (KVM_CAP_IMMEDIATE_EXIT).
  std::atomic_ref(run_->immediate_exit).store(1, std::memory_order_release);
}

void Vcpu::CancelExit() noexcept {
  std::atomic_ref(run_->immediate_exit).store(0, std::memory_order_release);
}

bool Vcpu::InjectExternalAbort() noexcept {
  arm64::VcpuEvents events{};
  events.ext_dabt_pending = 1;
  return fd_.kernel().Ioctl(fd_.get(), arm64::kKvmSetVcpuEvents, &events) == 0;
}

}  // namespace microvm
