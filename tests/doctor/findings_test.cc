// SPDX-License-Identifier: Apache-2.0
#include "vmm/doctor/findings.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::Contains;

// A host on which CPU 1 is kept for one vCPU, with nothing to find fault with.
HostSettings GoodHost() {
  HostSettings host;
  host.kernel_release = "6.12.1";
  host.kernel_config = std::map<std::string, std::string>{};
  for (const char* option : {"CONFIG_KVM", "CONFIG_IO_URING", "CONFIG_HIGH_RES_TIMERS",
                             "CONFIG_CPU_ISOLATION", "CONFIG_NO_HZ_FULL", "CONFIG_PREEMPT"}) {
    host.kernel_config->emplace(option, "y");
  }
  host.online = {0, 1};
  host.isolated = host.tickless = {1};
  host.governors = {{0, "schedutil"}, {1, "performance"}};
  host.idle_states = {{0, 1, "cpu-sleep", 500}, {1, 0, "WFI", 1}};
  host.interrupts = {{14, "uart-pl011", {0}}, {34, "vfio-irq[34](ff070000.canfd)", {1}}};
  host.rt_runtime_us = -1;
  host.rt_period_us = 1'000'000;
  host.halt_poll_ns = 500'000;
  host.transparent_hugepages = "madvise";
  host.hugepages = {{2U << 20, {64, 64}}};
  host.kvm = host.may_use_kvm = host.vfio_platform = host.root = true;
  return host;
}

VmConfig GoodMachine() {
  VmConfig config;
  config.cpu.affinity = {1};
  config.cpu.policy = SchedulingPolicy::kFifo;
  config.cpu.priority = 50;
  config.memory.size_bytes = 128U << 20;
  config.memory.hugepage_bytes = 2U << 20;
  config.memory.lock = true;
  return config;
}

std::string Texts(const HostSettings& host, const VmConfig* config) {
  return FormatFindings(host, Diagnose(host, config));
}
std::string TextsOf(const HostSettings& host) {
  const VmConfig config = GoodMachine();
  return Texts(host, &config);
}
std::string TextsOf(const VmConfig& config) { return Texts(GoodHost(), &config); }

TEST_CASE("a host and a machine that are as they should be have no finding") {
  CHECK(TextsOf(GoodHost()) ==
        "Linux 6.12.1, CPUs 0-1, isolated: 1\nnothing to change was found\n");
  const HostSettings host = GoodHost();
  CHECK(Diagnose(host, nullptr).empty());
}

struct Spoilt {
  void (*spoil)(HostSettings&);
  const char* text;
  const char* fix;
};

const std::vector<Spoilt> kSpoilt = {
    {[](HostSettings& h) { h.kvm = false; }, "start: there is no /dev/kvm", "CONFIG_KVM"},
    {[](HostSettings& h) { h.may_use_kvm = false; }, "may not use /dev/kvm", "usermod"},
    {[](HostSettings& h) { h.vfio_platform = false; }, "no device can be passed", "modprobe"},
    {[](HostSettings& h) { h.kernel_config->erase("CONFIG_NO_HZ_FULL"); },
     "slowest 0.1 % of interrupts: the kernel has no CONFIG_NO_HZ_FULL", "a kernel that has it"},
    {[](HostSettings& h) { h.kernel_config->emplace("CONFIG_KASAN", "y"); },
     "every interrupt: the kernel has CONFIG_KASAN", "without it"},
    {[](HostSettings& h) { h.kernel_config->erase("CONFIG_PREEMPT"); },
     "longest interrupt: the kernel cannot be preempted", "CONFIG_PREEMPT=y"},
    {[](HostSettings& h) { h.preemption = "voluntary"; }, "preemption is 'voluntary'",
     "echo full > /sys/kernel/debug/sched/preempt\n     on the kernel's command line: preempt"},
    {[](HostSettings& h) { h.isolated = {}; }, "CPU 1 is not isolated", "isolcpus=1"},
    {[](HostSettings& h) { h.tickless = {}; }, "CPU 1 has the scheduler's tick", "nohz_full=1"},
    {[](HostSettings& h) { h.rt_runtime_us = 950'000; }, "stopped for 50 ms of 1000 ms",
     "echo -1 > /proc/sys/kernel/sched_rt_runtime_us"},
    {[](HostSettings& h) { h.interrupts[0].cpus = {1}; },
     "take interrupts of other devices: 14 (uart-pl011)",
     "echo 0 > /proc/irq/14/smp_affinity_list"},
    {[](HostSettings& h) { h.governors[1] = "powersave"; }, "CPU 1 changes its clock rate",
     "performance"},
    {[](HostSettings& h) { h.throttled = {"cooling_device0 (cpu)"}; },
     "for its heat: cooling_device0 (cpu)", "more cooling"},
    {[](HostSettings& h) { h.idle_states[1].exit_latency_us = 90; },
     "wake-up of a waiting guest: CPUs sleep so deep that waking takes up to 90 µs (WFI)",
     "echo 1 > /sys/devices/system/cpu/cpu1/cpuidle/state0/disable"},
    {[](HostSettings& h) { h.halt_poll_ns = 0; }, "does not poll", "halt_poll_ns"},
    {[](HostSettings& h) { h.hugepages.begin()->second.free = 60; },
     "start: the host has 4 too few free huge pages of 2 MiB", "echo 68 > "},
    {[](HostSettings& h) { h.hugepages.clear(); }, "64 too few", "echo 64 > "},
    {[](HostSettings& h) { h.ksm = true; }, "(KSM)", "echo 2 > /sys/kernel/mm/ksm/run"},
    {[](HostSettings& h) { h.numa_balancing = true; }, "NUMA", "echo 0 > "},
    {[](HostSettings& h) { h.watchdog = true; }, "watchdog", "echo 0 > "},
    {[](HostSettings& h) { h.tracer = "function"; }, "traced (function)", "echo nop > "},
};

TEST_CASE("each setting that is not as it should be is one finding, with its fix") {
  for (const Spoilt& entry : kSpoilt) {
    CAPTURE(entry.text);
    HostSettings host = GoodHost();
    entry.spoil(host);
    const VmConfig config = GoodMachine();
    CHECK(Diagnose(host, &config).size() == 1);
    CHECK(Contains(TextsOf(host), entry.text));
    CHECK(Contains(TextsOf(host), entry.fix));
  }
}

TEST_CASE(
    "a vCPU's CPU that is not there, and a user without rights, keep a machine from its start") {
  HostSettings host = GoodHost();
  host.online = {0};
  CHECK(Contains(TextsOf(host), "start: CPU 1 is not online"));
  CHECK(Contains(TextsOf(host), "online are 0"));
  host = GoodHost();
  host.root = false;
  host.rtprio_limit = 49;
  CHECK(Contains(TextsOf(host), "start: this user may not run vCPUs at priority 50"));
  CHECK(Contains(TextsOf(host), "start: this user may not lock"));
  host.rtprio_limit = 99;
  host.memlock_limit_bytes = 1U << 30;
  const VmConfig config = GoodMachine();
  CHECK(Diagnose(host, &config).empty());
}

TEST_CASE("what a configuration leaves out is found, too") {
  VmConfig config = GoodMachine();
  config.cpu.affinity.clear();
  CHECK(Contains(TextsOf(config), "the vCPUs have no CPUs of their own"));
  CHECK(Contains(TextsOf(config), "1 of the CPUs 1\n"));
  config = GoodMachine();
  config.cpu.policy = SchedulingPolicy::kOther;
  CHECK(Contains(TextsOf(config), "longest interrupt: the vCPUs are ordinary threads"));
  config = GoodMachine();
  config.memory.hugepage_bytes = 0;
  CHECK(Contains(TextsOf(config), "pages of 4 KiB"));
  HostSettings host = GoodHost();
  host.swap = true;
  CHECK_FALSE(Contains(Texts(host, &config), "swap"));
  config.memory.lock = false;
  CHECK(Contains(Texts(host, &config), "can go to swap space"));
}

TEST_CASE("interrupts that each CPU has for itself are not in a vCPU's way") {
  HostSettings host = GoodHost();
  host.interrupts = {{9, "arch_timer", {}}, {14, "uart-pl011", {1}}};
  CHECK(Contains(TextsOf(host), "take interrupts of other devices: 14 (uart-pl011)\n"));
}

TEST_CASE("a machine that polls by itself needs no polling host") {
  HostSettings host = GoodHost();
  host.halt_poll_ns = 0;
  VmConfig config = GoodMachine();
  config.realtime = {.enabled = true, .halt_poll_ns = 100'000};
  CHECK(Diagnose(host, &config).empty());
}

TEST_CASE("without a machine, it is told how to keep CPUs for guests") {
  HostSettings host = GoodHost();
  host.isolated.clear();
  CHECK(Contains(Texts(host, nullptr), "no CPU is kept for guests"));
}

TEST_CASE("the worst comes first") {
  HostSettings host = GoodHost();
  host.tracer = "function";
  host.watchdog = true;
  host.kvm = false;
  const std::vector<Finding> findings = Diagnose(host, nullptr);
  CHECK(findings.size() == 3);
  CHECK(std::is_sorted(findings.begin(), findings.end(),
                       [](const Finding& a, const Finding& b) { return a.harm < b.harm; }));
}

TEST_CASE("of a kernel that does not tell how it was configured, nothing is presumed") {
  HostSettings host = GoodHost();
  host.kernel_config.reset();
  CHECK(Contains(Texts(host, nullptr), "does not tell how it was configured"));
  CHECK(Diagnose(host, nullptr).empty());
}

}  // namespace
}  // namespace microvm
