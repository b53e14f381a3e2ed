// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vmm/host/cpu_set.h"

namespace microvm {

// A state that a CPU may sleep in (Documentation/admin-guide/pm/cpuidle.rst).
struct IdleState {
  unsigned cpu;
  unsigned number;
  std::string name;
  std::uint64_t exit_latency_us;
};

// An interrupt of the host that has a handler.
struct HostInterrupt {
  unsigned number;  // the kernel's
  std::string users;
  CpuSet cpus;  // that take it; none: each CPU has its own
};

struct HugePagePool {
  std::uint64_t total;
  std::uint64_t free;
};

// What of a host's settings decides how fast, and how steadily, an interrupt reaches a guest. What
// the host does not tell is empty, or nothing.
struct HostSettings {
  std::string kernel_release;
  // CONFIG_... by name; options that are off are left out. Nothing: the kernel does not tell.
  std::optional<std::map<std::string, std::string>> kernel_config;
  std::string preemption;  // of a PREEMPT_DYNAMIC kernel: "none", "voluntary", "full", "lazy"
  bool real_time_kernel = false;

  CpuSet online;
  CpuSet isolated;  // isolcpus=
  CpuSet tickless;  // nohz_full=
  std::map<unsigned, std::string> governors;
  std::vector<IdleState> idle_states;  // those that are enabled
  std::vector<std::string> throttled;  // cooling devices that slow the host down at present
  std::vector<HostInterrupt> interrupts;

  std::optional<std::int64_t> rt_runtime_us;  // -1: no throttling
  std::optional<std::int64_t> rt_period_us;
  std::optional<std::uint64_t> halt_poll_ns;
  std::string transparent_hugepages;                // "always", "madvise", "never"
  std::map<std::uint64_t, HugePagePool> hugepages;  // by bytes of a page
  bool ksm = false;
  bool swap = false;
  bool numa_balancing = false;
  bool watchdog = false;
  std::string tracer;  // "" and "nop": none

  bool kvm = false;                // /dev/kvm is there
  bool may_use_kvm = false;        // and this process may open it
  bool vfio_platform = false;      // its driver is there
  std::uint64_t rtprio_limit = 0;  // RLIMIT_RTPRIO
  std::uint64_t memlock_limit_bytes = 0;
  bool root = false;
};

// Reads them from sysfs and procfs below `root`, and this process's limits. Throws nothing but
// std::bad_alloc: what cannot be read is not known.
HostSettings ReadHostSettings(const std::filesystem::path& root);

}  // namespace microvm
