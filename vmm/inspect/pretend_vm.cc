// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/pretend_vm.h"

#include "arch/arm64/layout.h"

namespace microvm {

VmPlan PlanPretendedVm(const std::vector<DeviceFacts>& devices) {
  constexpr std::uint64_t kMiB = 1U << 20;
  VmConfig config;
  config.name = "pretended";
  config.memory.size_bytes = 128 * kMiB;
  for (const DeviceFacts& device : devices) config.platform.push_back(device.config);
  const BootFacts boot{.kernel_file_bytes = 16 * kMiB,
                       .kernel_compressed = false,
                       .text_offset = 0,
                       .kernel_memory_bytes = 16 * kMiB,
                       .initrd_bytes = 0};
  const HostLimits limits{
      .ipa_bits = 48, .max_vcpus = 1, .pmu = false, .sve = false, .pauth = false};
  return MakePlan(config, devices, boot, limits, Arm64Layout());
}

}  // namespace microvm
