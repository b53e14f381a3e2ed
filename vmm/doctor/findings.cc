// SPDX-License-Identifier: Apache-2.0
#include "vmm/doctor/findings.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace microvm {
namespace {

constexpr std::uint64_t kMicrosecondsNoticed = 10;  // of waking up: as much as an interrupt takes

struct Option {
  std::string_view name;
  Harm harm;
  std::string_view text;
};

// Options of a kernel that has to be built with them.
constexpr std::array kWanted = {
    Option{"CONFIG_KVM", Harm::kStart, "there are no virtual machines"},
    Option{"CONFIG_IO_URING", Harm::kStart, "the event loop runs on io_uring"},
    Option{"CONFIG_HIGH_RES_TIMERS", Harm::kMaximum, "timers are late by up to a tick"},
    Option{"CONFIG_CPU_ISOLATION", Harm::kMaximum, "the kernel's own work is not kept off CPUs"},
    Option{"CONFIG_NO_HZ_FULL", Harm::kTail, "the tick interrupts running guests"},
};
// Options that have a price on each interrupt's way.
constexpr std::array kUnwanted = {
    Option{"CONFIG_PROVE_LOCKING", Harm::kMedian, "every lock is checked"},
    Option{"CONFIG_DEBUG_LOCK_ALLOC", Harm::kMedian, "every lock is checked"},
    Option{"CONFIG_KASAN", Harm::kMedian, "every access to memory is checked"},
    Option{"CONFIG_KCSAN", Harm::kMedian, "accesses to memory are watched"},
    Option{"CONFIG_DEBUG_PREEMPT", Harm::kMedian, "every use of a CPU's own data is checked"},
    Option{"CONFIG_DEBUG_OBJECTS", Harm::kMedian, "the kernel's objects are followed"},
    Option{"CONFIG_SLUB_DEBUG_ON", Harm::kMedian, "every allocation is checked"},
    Option{"CONFIG_IRQSOFF_TRACER", Harm::kMedian, "switching interrupts off is followed"},
    Option{"CONFIG_PREEMPT_TRACER", Harm::kMedian, "switching preemption off is followed"},
};

class Examination {
 public:
  Examination(const HostSettings& host, const VmConfig* config) : host_(host), config_(config) {
    if (config == nullptr) {
      cpus_ = host.isolated;
    } else {
      cpus_.insert(config->cpu.affinity.begin(), config->cpu.affinity.end());
    }
  }

  std::vector<Finding> Findings() && {
    LookAtAccess();
    LookAtKernel();
    LookAtPreemption();
    LookAtPlaces();
    LookAtScheduling();
    LookAtInterrupts();
    LookAtClocks();
    LookAtWaking();
    LookAtMemory();
    LookAtWatchers();
    std::stable_sort(findings_.begin(), findings_.end(),
                     [](const Finding& a, const Finding& b) { return a.harm < b.harm; });
    return std::move(findings_);
  }

 private:
  void Add(Harm harm, std::string text, std::string fix) {
    findings_.push_back({harm, std::move(text), std::move(fix)});
  }
  void AddOption(const Option& option, const char* what, const char* fix) {
    Add(option.harm, what + std::string(option.name) + ": " + std::string(option.text), fix);
  }
  [[nodiscard]] bool Has(std::string_view option) const {
    return !host_.kernel_config || host_.kernel_config->contains(std::string(option));
  }
  // The CPUs of vCPUs; all, if none are known.
  [[nodiscard]] const CpuSet& Cpus() const { return cpus_.empty() ? host_.online : cpus_; }
  [[nodiscard]] CpuSet Without(const CpuSet& present) const {
    CpuSet missing;
    for (const unsigned cpu : cpus_) {
      if (!present.contains(cpu)) missing.insert(cpu);
    }
    return missing;
  }

  void LookAtAccess() {
    if (!host_.kvm) {
      Add(Harm::kStart, "there is no /dev/kvm",
          "a kernel with CONFIG_KVM, started at EL2 by the firmware; see: dmesg | grep kvm");
    } else if (!host_.may_use_kvm) {
      Add(Harm::kStart, "this user may not use /dev/kvm", "run as root, or: usermod -aG kvm $USER");
    }
    if (!host_.vfio_platform) {
      Add(Harm::kStart, "VFIO's driver for platform devices is not there: no device can be passed",
          "modprobe vfio-platform, or a kernel with CONFIG_VFIO_PLATFORM");
    }
    if (!host_.root) LookAtLimits();
  }

  void LookAtLimits() {
    const bool real_time = config_ != nullptr && config_->cpu.policy != SchedulingPolicy::kOther;
    const int wanted = real_time ? config_->cpu.priority : 0;
    if (real_time && host_.rtprio_limit < static_cast<std::uint64_t>(wanted)) {
      Add(Harm::kStart,
          "this user may not run vCPUs at priority " + std::to_string(wanted) +
              " (RLIMIT_RTPRIO is " + std::to_string(host_.rtprio_limit) + ")",
          "run as root, or: ulimit -r " + std::to_string(wanted) +
              ", or LimitRTPRIO=" + std::to_string(wanted) + " of a service");
    }
    const bool lock = config_ != nullptr && config_->memory.lock;
    if (lock && host_.memlock_limit_bytes < config_->memory.size_bytes) {
      Add(Harm::kStart, "this user may not lock as much memory as the guest has (RLIMIT_MEMLOCK)",
          "run as root, or: ulimit -l unlimited, or LimitMEMLOCK=infinity of a service");
    }
  }

  void LookAtKernel() {
    for (const Option& option : kWanted) {
      if (!Has(option.name)) AddOption(option, "the kernel has no ", "a kernel that has it");
    }
    for (const Option& option : kUnwanted) {
      if (!host_.kernel_config || !Has(option.name)) continue;
      AddOption(option, "the kernel has ", "a kernel without it");
    }
  }

  // A vCPU that is woken waits for what its CPU is doing in the kernel.
  void LookAtPreemption() {
    if (host_.real_time_kernel || host_.preemption == "full") return;
    if (!host_.preemption.empty()) {
      Add(Harm::kMaximum,
          "the kernel's preemption is '" + host_.preemption +
              "': system calls of others are not interrupted for a vCPU",
          "echo full > /sys/kernel/debug/sched/preempt\n"
          "on the kernel's command line: preempt=full");
    } else if (!Has("CONFIG_PREEMPT") && !Has("CONFIG_PREEMPT_RT")) {
      Add(Harm::kMaximum, "the kernel cannot be preempted in system calls of others",
          "a kernel with CONFIG_PREEMPT=y, or CONFIG_PREEMPT_RT=y");
    }
  }

  void LookAtPlaces() {
    if (config_ != nullptr && config_->cpu.affinity.empty()) {
      Add(Harm::kTail, "the vCPUs have no CPUs of their own: the scheduler moves them",
          "[cpu] affinity in the configuration, " + std::to_string(config_->cpu.count) +
              " of the CPUs " +
              FormatCpuList(host_.isolated.empty() ? host_.online : host_.isolated));
      return;
    }
    if (cpus_.empty()) {
      Add(Harm::kTail, "no CPU is kept for guests: everything runs everywhere",
          "on the kernel's command line, for CPUs that guests have to themselves: isolcpus=1 "
          "nohz_full=1 rcu_nocbs=1 irqaffinity=0");
      return;
    }
    const std::string cpus = FormatCpuList(cpus_);
    if (const CpuSet offline = Without(host_.online); !offline.empty()) {
      Add(Harm::kStart, "CPU " + FormatCpuList(offline) + " is not online",
          "other numbers in [cpu] affinity; online are " + FormatCpuList(host_.online));
    }
    if (const CpuSet shared = Without(host_.isolated); !shared.empty()) {
      Add(Harm::kTail,
          "CPU " + FormatCpuList(shared) + " is not isolated: other processes run there too",
          "on the kernel's command line: isolcpus=" + cpus);
    }
    if (const CpuSet ticking = Without(host_.tickless);
        !ticking.empty() && Has("CONFIG_NO_HZ_FULL")) {
      Add(Harm::kTail, "CPU " + FormatCpuList(ticking) + " has the scheduler's tick",
          "on the kernel's command line: nohz_full=" + cpus + " rcu_nocbs=" + cpus);
    }
  }

  void LookAtScheduling() {
    if (config_ != nullptr && config_->cpu.policy == SchedulingPolicy::kOther) {
      Add(Harm::kMaximum, "the vCPUs are ordinary threads: they wait for others' time slices",
          "[cpu] policy = \"fifo\", priority = 50");
      return;
    }
    if (host_.rt_runtime_us.value_or(-1) < 0 || !host_.rt_period_us) return;
    const std::int64_t idle_us = *host_.rt_period_us - *host_.rt_runtime_us;
    Add(Harm::kMaximum,
        "real-time threads that do not sleep are stopped for " + std::to_string(idle_us / 1000) +
            " ms of " + std::to_string(*host_.rt_period_us / 1000) +
            " ms when others want to run (Linux up to 6.11: always)",
        "if each vCPU has a CPU of its own: echo -1 > /proc/sys/kernel/sched_rt_runtime_us");
  }

  void LookAtInterrupts() {
    if (cpus_.empty()) return;
    std::string foreign;
    std::string fix;
    CpuSet others = host_.online;
    for (const unsigned cpu : cpus_) others.erase(cpu);
    for (const HostInterrupt& interrupt : host_.interrupts) {
      // Those of guests' devices belong there.
      if (interrupt.users.find("vfio") != std::string::npos) continue;
      const bool there = std::any_of(interrupt.cpus.begin(), interrupt.cpus.end(),
                                     [&](unsigned cpu) { return cpus_.contains(cpu); });
      if (!there) continue;
      foreign.append(foreign.empty() ? "" : ", ")
          .append(std::to_string(interrupt.number))
          .append(" (")
          .append(interrupt.users)
          .append(")");
      fix.append(fix.empty() ? "" : "\n")
          .append("echo ")
          .append(FormatCpuList(others))
          .append(" > /proc/irq/")
          .append(std::to_string(interrupt.number))
          .append("/smp_affinity_list");
    }
    if (foreign.empty() || others.empty()) return;
    Add(Harm::kTail, "the vCPUs' CPUs take interrupts of other devices: " + foreign,
        fix + "\non the kernel's command line: irqaffinity=" + FormatCpuList(others));
  }

  void LookAtClocks() {
    CpuSet slow;
    for (const auto& [cpu, governor] : host_.governors) {
      if (governor != "performance" && Cpus().contains(cpu)) slow.insert(cpu);
    }
    if (!slow.empty()) {
      Add(Harm::kTail, "CPU " + FormatCpuList(slow) + " changes its clock rate with its load",
          "for c in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do echo performance > "
          "$c; done");
    }
    std::string throttled;
    for (const std::string& device : host_.throttled) {
      throttled.append(throttled.empty() ? "" : ", ").append(device);
    }
    if (throttled.empty()) return;
    Add(Harm::kTail, "the host is slowed down at present, or cooled, for its heat: " + throttled,
        "more cooling, or lower clock rates that last");
  }

  void LookAtWaking() {
    std::string states;
    std::string fix;
    std::uint64_t worst_us = 0;
    for (const IdleState& state : host_.idle_states) {
      if (state.exit_latency_us < kMicrosecondsNoticed || !Cpus().contains(state.cpu)) continue;
      worst_us = std::max(worst_us, state.exit_latency_us);
      if (states.find(state.name) == std::string::npos) {
        states.append(states.empty() ? "" : ", ").append(state.name);
      }
      fix.append(fix.empty() ? "" : "\n")
          .append("echo 1 > /sys/devices/system/cpu/cpu")
          .append(std::to_string(state.cpu))
          .append("/cpuidle/state")
          .append(std::to_string(state.number))
          .append("/disable");
    }
    if (!fix.empty()) {
      Add(Harm::kWakeUp,
          "CPUs sleep so deep that waking takes up to " + std::to_string(worst_us) + " µs (" +
              states + ")",
          fix);
    }
    const bool own = config_ != nullptr && config_->realtime.halt_poll_ns;
    if (!own && host_.halt_poll_ns && *host_.halt_poll_ns == 0) {
      Add(Harm::kWakeUp, "KVM does not poll for interrupts of guests that wait",
          "echo 200000 > /sys/module/kvm/parameters/halt_poll_ns");
    }
  }

  void LookAtMemory() {
    const bool locked = config_ != nullptr && config_->memory.lock;
    const std::uint64_t page = config_ == nullptr ? 0 : config_->memory.hugepage_bytes;
    if (host_.swap && !locked && page == 0) {
      Add(Harm::kMaximum, "the guest's memory can go to swap space",
          "[memory] lock = true, or: swapoff -a");
    }
    if (host_.ksm) {
      Add(Harm::kTail, "the kernel looks for pages to share (KSM)",
          "echo 2 > /sys/kernel/mm/ksm/run");
    }
    if (host_.numa_balancing && host_.online.size() > 1) {
      Add(Harm::kTail,
          "the kernel moves memory between NUMA nodes, and unmaps it to see who uses it",
          "echo 0 > /proc/sys/kernel/numa_balancing");
    }
    if (config_ == nullptr) return;
    if (page == 0 && host_.transparent_hugepages != "always") {
      Add(Harm::kTail,
          "the guest's memory is in pages of 4 KiB: each is a fault at its first use, "
          "and the TLB holds few",
          "[memory] hugepages = \"2M\"");
    }
    if (page == 0 || config_->memory.identity_file) return;
    const auto pool = host_.hugepages.find(page);
    const std::uint64_t wanted = config_->memory.size_bytes / page;
    if (pool != host_.hugepages.end() && pool->second.free >= wanted) return;
    const std::uint64_t missing = wanted - (pool == host_.hugepages.end() ? 0 : pool->second.free);
    Add(Harm::kStart,
        "the host has " + std::to_string(missing) + " too few free huge pages of " +
            std::to_string(page >> 20) + " MiB",
        "echo " +
            std::to_string((pool == host_.hugepages.end() ? 0 : pool->second.total) + missing) +
            " > /sys/kernel/mm/hugepages/hugepages-" + std::to_string(page >> 10) +
            "kB/nr_hugepages");
  }

  void LookAtWatchers() {
    if (!host_.tracer.empty() && host_.tracer != "nop") {
      Add(Harm::kMedian, "the kernel is being traced (" + host_.tracer + ")",
          "echo nop > /sys/kernel/tracing/current_tracer");
    }
    if (host_.watchdog) {
      Add(Harm::kTail, "the kernel's watchdog interrupts each CPU every few seconds",
          "echo 0 > /proc/sys/kernel/watchdog");
    }
  }

  const HostSettings& host_;
  const VmConfig* config_;
  CpuSet cpus_;  // that vCPUs run on, as far as is known
  std::vector<Finding> findings_;
};

const char* Describe(Harm harm) {
  switch (harm) {
    case Harm::kStart:
      return "start";
    case Harm::kMaximum:
      return "longest interrupt";
    case Harm::kTail:
      return "slowest 0.1 % of interrupts";
    case Harm::kWakeUp:
      return "wake-up of a waiting guest";
    case Harm::kMedian:
      return "every interrupt";
  }
  return "";
}

// Each line of `text` after the first, indented.
std::string Indented(std::string_view text, std::string_view indent) {
  std::string out;
  for (const char character : text) {
    out += character;
    if (character == '\n') out += indent;
  }
  return out;
}

}  // namespace

std::vector<Finding> Diagnose(const HostSettings& host, const VmConfig* config) {
  return Examination(host, config).Findings();
}

std::string FormatFindings(const HostSettings& host, const std::vector<Finding>& findings) {
  std::string out =
      "Linux " + host.kernel_release + ", CPUs " + FormatCpuList(host.online) +
      ", isolated: " + (host.isolated.empty() ? "none" : FormatCpuList(host.isolated)) + "\n";
  if (!host.kernel_config) {
    out += "the kernel does not tell how it was configured (/proc/config.gz, /boot)\n";
  }
  if (findings.empty()) out += "nothing to change was found\n";
  std::size_t number = 0;
  for (const Finding& finding : findings) {
    out.append("\n").append(std::to_string(++number)).append(". ");
    out.append(Describe(finding.harm)).append(": ").append(finding.text).append("\n     ");
    out.append(Indented(finding.fix, "     ")).append("\n");
  }
  return out;
}

}  // namespace microvm
