// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/kvm.h>

#include <memory>
#include <vector>

#include "devices/mmio_bus.h"
#include "tests/fakes/fake_kernel.h"
#include "vmm/kvm/arm64_uapi.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/statistics.h"

namespace microvm::fakes {

// A VM with an initialised vGIC whose vCPUs can run their scripts.
class RunnableVm {
 public:
  RunnableVm() {
    std::uint64_t distributor = 0x800'0000;
    std::uint64_t region = 8ULL << 52 | 0x1000'0000;
    gic_.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressDist, &distributor, "dist");
    gic_.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressRedistRegion, &region, "rd");
  }

  // Before any has run; initialises the vGIC behind the last one that is added.
  Vcpu& AddVcpu(unsigned id) {
    for (unsigned next = static_cast<unsigned>(vcpus_.size()); next < kVcpus; ++next) {
      vcpus_.push_back(std::make_unique<Vcpu>(kvm_, vm_, next, VcpuFeatures{}));
    }
    if (!initialised_) {
      gic_.SetAttribute(arm64::kVgicGroupControl, arm64::kVgicControlInit, nullptr, "init");
    }
    initialised_ = true;
    return *vcpus_.at(id);
  }

  [[nodiscard]] const KvmDevice& Gic() const { return gic_; }

  FakeKernel kernel;
  LogBudget log;
  MmioBus bus{log};
  VcpuExits exits;

 private:
  static constexpr unsigned kVcpus = 4;
  Kvm kvm_{kernel};
  Vm vm_{kvm_, 40};
  KvmDevice gic_{vm_, KVM_DEV_TYPE_ARM_VGIC_V3, "vgic"};
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  bool initialised_ = false;
};

}  // namespace microvm::fakes
