// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "vmm/config/vm_config.h"
#include "vmm/host/cpu_set.h"
#include "vmm/host/host_device.h"
#include "vmm/host/host_kernel.h"

namespace microvm {

// Where this process's thread that is no vCPU, the event loop's, runs and how.
struct OwnThread {
  std::vector<unsigned> cpus;   // empty: anywhere
  std::optional<int> priority;  // real-time, of `policy`
  SchedulingPolicy policy = SchedulingPolicy::kOther;
};

// On the CPUs that no vCPU has, if the configuration has a real-time profile. Where real-time vCPUs
// can have all CPUs, the loop would never run beside one that does not sleep, and a request to stop
// not be heard: it is one priority above them then. Throws Error if there is none. Pure.
OwnThread PlanOwnThread(const VmConfig& config, const CpuSet& usable);

// Applies it to the calling thread; throws a chain with the remedy.
void PlaceOwnThread(HostKernel& kernel, const OwnThread& thread);

// The host's CPUs that are online and that this process may use; none if the host does not tell.
CpuSet UsableCpus(const HostSysfs& sysfs);

// The policy as sched_setscheduler(2) has it.
int LinuxPolicy(SchedulingPolicy policy);

}  // namespace microvm
