// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/thread_placement.h"

#include <sched.h>
#include <unistd.h>

#include "vmm/host/error.h"
#include "vmm/host/file.h"

namespace microvm {
namespace {

constexpr int kHighestPriority = 99;

}  // namespace

OwnThread PlanOwnThread(const VmConfig& config, const CpuSet& usable) {
  OwnThread thread;
  const CpuConfig& cpu = config.cpu;
  CpuSet others = usable;
  for (const unsigned taken : cpu.affinity) others.erase(taken);
  if (config.realtime.enabled) {
    thread.cpus = config.realtime.housekeeping;
    if (thread.cpus.empty()) thread.cpus.assign(others.begin(), others.end());
  }
  const bool all_taken = cpu.affinity.empty() ? usable.size() <= cpu.count : others.empty();
  if (cpu.policy == SchedulingPolicy::kOther || usable.empty() || !all_taken) return thread;
  if (cpu.priority == kHighestPriority) {
    throw Error(
        "cpu.priority = 99 leaves none above it for the thread that serves the console and "
        "requests to stop, and the vCPUs have all of the host's CPUs",
        "priority = 98, or leave a CPU without a vCPU");
  }
  thread.policy = cpu.policy;
  thread.priority = cpu.priority + 1;
  return thread;
}

void PlaceOwnThread(HostKernel& kernel, const OwnThread& thread) {
  const pid_t tid = gettid();
  if (!thread.cpus.empty()) {
    WithContext(Error("cannot keep the event loop off the vCPUs' CPUs",
                      "correct realtime.housekeeping; the host's CPUs: "
                      "cat /sys/devices/system/cpu/online"),
                [&] {
                  if (kernel.SetAffinity(tid, thread.cpus) != 0) ThrowErrno("sched_setaffinity");
                });
  }
  if (!thread.priority) return;
  WithContext(
      Error("cannot run the event loop above the vCPUs, which have all CPUs",
            "run as root, or raise the limit: ulimit -r " + std::to_string(*thread.priority)),
      [&] {
        if (kernel.SetScheduler(tid, LinuxPolicy(thread.policy), *thread.priority) != 0) {
          ThrowErrno("sched_setscheduler");
        }
      });
}

CpuSet UsableCpus(const HostSysfs& sysfs) {
  CpuSet cpus = ParseCpuList(ReadAttribute(sysfs.root() / "sys/devices/system/cpu/online"));
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return cpus;
  std::erase_if(cpus, [&](unsigned cpu) { return cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed); });
  return cpus;
}

int LinuxPolicy(SchedulingPolicy policy) {
  switch (policy) {
    case SchedulingPolicy::kFifo:
      return SCHED_FIFO;
    case SchedulingPolicy::kRoundRobin:
      return SCHED_RR;
    case SchedulingPolicy::kOther:
      break;
  }
  return SCHED_OTHER;
}

}  // namespace microvm
