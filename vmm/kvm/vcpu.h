// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/kvm.h>

#include <cstdint>

#include "vmm/host/memory_mapping.h"
#include "vmm/kvm/arm64_uapi.h"
#include "vmm/kvm/kvm.h"

namespace microvm {

// What a guest CPU has beyond the base architecture. Off unless asked for: what is not there
// need not be switched.
struct VcpuFeatures {
  bool pmu = false;
  bool sve = false;
  bool pauth = false;
};

// One vCPU: its descriptor and its mapped kvm_run page. Run() and run() belong to its thread;
// RequestExit() may be called from any.
class Vcpu {
 public:
  // vCPU `id` of the VM. Those but the first start powered off, until PSCI CPU_ON.
  Vcpu(const Kvm& kvm, const Vm& vm, unsigned id, const VcpuFeatures& features);

  // Finishes the PMU, whose interrupt needs the vGIC. Call after the vGIC is initialised.
  void InitialisePmu(std::uint32_t intid);

  [[nodiscard]] std::uint64_t GetRegister(std::uint64_t id) const;
  void SetRegister(std::uint64_t id, std::uint64_t value);

  // KVM_RUN: 0, or the errno it failed with.
  [[nodiscard]] int Run() noexcept;
  [[nodiscard]] kvm_run& run() noexcept { return *run_; }

  // Makes the next (or, after a signal to the thread, the current) Run() return EINTR.
  void RequestExit() noexcept;
  // Takes that back. Not while Run() runs.
  void CancelExit() noexcept;

  // Has the guest take an external abort for the access it just made; false if KVM refused.
  bool InjectExternalAbort() noexcept;

 private:
  Fd fd_;
  MemoryMapping mapping_;
  kvm_run* run_;
};

}  // namespace microvm
