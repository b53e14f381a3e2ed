// SPDX-License-Identifier: Apache-2.0
#include "vmm/doctor/host_settings.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include "tests/fakes/host_tree.h"

namespace microvm {
namespace {

TEST_CASE("a host without any of it is one that nothing is known of") {
  const fakes::HostTree tree;
  const HostSettings host = ReadHostSettings(tree.root());
  CHECK_FALSE(host.kernel_config);
  CHECK(host.online.empty());
  CHECK_FALSE(host.rt_runtime_us);
  CHECK_FALSE(host.kvm);
  CHECK_FALSE(host.swap);
}

TEST_CASE("the kernel's configuration is read, compressed in /proc or plain in /boot") {
  const fakes::HostTree tree;
  tree.Write("proc/sys/kernel/osrelease", "6.12.1\n");
  tree.Write("boot/config-6.12.1", "# comment\nCONFIG_KVM=y\n# CONFIG_SMP is not set\n");
  const auto plain = ReadHostSettings(tree.root()).kernel_config;
  REQUIRE(plain);
  CHECK(*plain == std::map<std::string, std::string>{{"CONFIG_KVM", "y"}});
  gzFile_s* const file = gzopen((tree.root() / "proc/config.gz").c_str(), "wb");
  REQUIRE(file != nullptr);
  gzputs(file, "CONFIG_KVM=y\nCONFIG_HZ=100\n");
  gzclose(file);
  CHECK(ReadHostSettings(tree.root()).kernel_config->at("CONFIG_HZ") == "100");
}

TEST_CASE("CPUs: those isolated, governors, and the states of sleep that are enabled") {
  const fakes::HostTree tree;
  const std::string cpus = "sys/devices/system/cpu/";
  tree.Write(cpus + "online", "0-1\n");
  tree.Write(cpus + "isolated", "1\n");
  tree.Write(cpus + "nohz_full", "(null)\n");
  tree.Write(cpus + "cpu1/cpufreq/scaling_governor", "schedutil\n");
  for (const char* state : {"cpu1/cpuidle/state0/", "cpu1/cpuidle/state1/"}) {
    tree.Write(cpus + state + "name", "cpu-sleep\n");
    tree.Write(cpus + state + "latency", "350\n");
    tree.Write(cpus + state + "disable", std::string(state).ends_with("1/") ? "1\n" : "0\n");
  }
  const HostSettings host = ReadHostSettings(tree.root());
  CHECK(host.isolated == CpuSet{1});
  CHECK(host.tickless.empty());
  CHECK(host.governors == std::map<unsigned, std::string>{{1, "schedutil"}});
  REQUIRE(host.idle_states.size() == 1);
  CHECK(host.idle_states[0].number == 0);
  CHECK(host.idle_states[0].exit_latency_us == 350);
}

TEST_CASE("interrupts that have a handler, and the CPUs that may take them") {
  const fakes::HostTree tree;
  tree.Write("proc/irq/14/effective_affinity_list", "2\n");
  tree.Write("sys/kernel/irq/14/actions", "uart-pl011\n");
  tree.Write("proc/irq/15/effective_affinity_list", "2\n");
  tree.Write("sys/kernel/irq/15/actions", "\n");
  const HostSettings host = ReadHostSettings(tree.root());
  REQUIRE(host.interrupts.size() == 1);
  CHECK(host.interrupts[0].number == 14);
  CHECK(host.interrupts[0].users == "uart-pl011");
  CHECK(host.interrupts[0].cpus == CpuSet{2});
}

TEST_CASE("memory: the chosen word, pools of huge pages, swap space") {
  const fakes::HostTree tree;
  tree.Write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  tree.Write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "40\n");
  tree.Write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "8\n");
  tree.Write("proc/swaps", "Filename Type Size Used Priority\n");
  CHECK_FALSE(ReadHostSettings(tree.root()).swap);
  tree.Write("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n");
  tree.Write("proc/sys/kernel/sched_rt_runtime_us", "-1\n");
  const HostSettings host = ReadHostSettings(tree.root());
  CHECK(host.swap);
  CHECK(host.transparent_hugepages == "madvise");
  REQUIRE(host.hugepages.contains(2U << 20));
  CHECK(host.hugepages.at(2U << 20).total == 40);
  CHECK(host.hugepages.at(2U << 20).free == 8);
  CHECK(host.rt_runtime_us == -1);
}

}  // namespace
}  // namespace microvm
