// SPDX-License-Identifier: Apache-2.0
// What microvm-bench decides and prints; what it measures needs a board.
#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "bench/native/command_line.h"
#include "bench/native/distribution.h"
#include "bench/native/host_settings.h"
#include "bench/native/tapped_kernel.h"
#include "tests/fakes/host_tree.h"
#include "vmm/cli/command_line.h"
#include "vmm/config/vm_config.h"

namespace microvm::bench {
namespace {

BenchOptions Parse(std::initializer_list<const char*> list) {
  return ParseBenchOptions(std::vector<const char*>(list));
}

TEST_CASE("microvm-bench: options, and what is wrong with them") {
  const BenchOptions options =
      Parse({"--device", "a.b", "--samples", "300", "--wfi", "--cpu", "2", "--fifo", "50"});
  CHECK(options.device == "a.b");
  CHECK(options.samples == 300);
  CHECK(options.wfi);
  CHECK(options.cpu == 2U);
  CHECK(options.fifo == 50U);
  CHECK(Parse({"--help"}).help);
  CHECK_THROWS_WITH_AS(Parse({}), "--device NAME is missing", UsageError);
  CHECK_THROWS_WITH_AS(Parse({"--device"}), "--device needs a value", UsageError);
  CHECK_THROWS_WITH_AS(Parse({"--devise", "x"}), "unknown option '--devise'", UsageError);
  CHECK_THROWS_WITH_AS(Parse({"--samples", "99"}),
                       "--samples takes a number from 100 to 20000, not '99'", UsageError);
  CHECK_THROWS_AS(Parse({"--samples", "300x"}), UsageError);
}

TEST_CASE("microvm-bench: the machine's configuration is one that microvm takes") {
  BenchOptions options = Parse({"--device", "a.b", "--cpu", "2", "--fifo", "50"});
  VmConfig config = ParseVmConfig(MachineConfig(options, "/g.bin", "mode=latency", true), "b.toml");
  CHECK(config.cpu.affinity == std::vector<unsigned>{2});
  CHECK(config.cpu.policy == SchedulingPolicy::kFifo);
  CHECK(config.platform.at(0).dma == DmaMode::kNone);
  CHECK(config.boot.cmdline == "mode=latency");
  options.set = {"dma = \"iommu\"", "drop = [\"dmas\"]"};
  config = ParseVmConfig(MachineConfig(options, "/g.bin", "", true), "b.toml");
  CHECK(config.platform.at(0).dma == DmaMode::kIommu);
  CHECK(config.platform.at(0).drop == std::vector<std::string>{"dmas"});
}

TEST_CASE("microvm-bench: percentiles by nearest rank, in nanoseconds") {
  Distribution distribution{.name = "x", .ticks = {}};
  CHECK(Format(distribution, 1'000'000'000) == "");
  for (std::uint64_t i = 1000; i > 0; --i) distribution.ticks.push_back(i);
  CHECK(Format(distribution, 1'000'000'000) ==
        "x p50=500 p90=900 p99=990 p99_9=999 max=1000 min=1 samples=1000 unit=ns");
  CHECK(Format({.name = "y", .ticks = {3}}, 25'000'000) ==
        "y p50=120 p90=120 p99=120 p99_9=120 max=120 min=120 samples=1 unit=ns");
}

TEST_CASE("microvm-bench: the guest's lines in nanoseconds") {
  CHECK(InNanoseconds("latency name=x p50=1 p90=2 p99=3 p99_9=4 max=5 min=1 samples=9 unit=ticks",
                      62'500'000) ==
        "x p50=16 p90=32 p99=48 p99_9=64 max=80 min=16 samples=9 unit=ns");
  CHECK(InNanoseconds("latency samples=9", 1) == "");
  CHECK(NumberIn("a counter_hz=1000 b=2", "counter_hz") == 1000);
  CHECK(NumberIn("a counter_hz=1000 b=2", "hz") == 0);
}

TEST_CASE("microvm-bench: what of the host decides about latency") {
  const fakes::TemporaryFolder folder;
  CHECK(FormatHostSettings(folder.path()).starts_with("kernel: unknown\npreemption: unknown\n"));
  folder.Write("proc/version", "Linux version 6.12 #1 SMP PREEMPT_RT Debian\n");
  folder.Write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
  folder.Write("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "schedutil\n");
  folder.Write("sys/devices/system/cpu/isolated", "\n");
  folder.Write("sys/module/kvm/parameters/halt_poll_ns", "500000\n");
  const std::string told = FormatHostSettings(folder.path());
  CHECK(told.find("\npreemption: PREEMPT_RT\n") != std::string::npos);
  CHECK(told.find("\nisolated CPUs: none\n") != std::string::npos);
  CHECK(told.find("\nfrequency governors: performance, schedutil\n") != std::string::npos);
  CHECK(told.find("\nhalt_poll_ns: 500000\n") != std::string::npos);
}

TEST_CASE("microvm-bench: nothing is raised, and no memory there, before a machine is built") {
  const TappedKernel kernel;
  CHECK_THROWS_AS(kernel.Raise(), std::logic_error);
  CHECK(kernel.At(0x4000'0000, 8) == nullptr);
}

}  // namespace
}  // namespace microvm::bench
