// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/statistics.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::Board;

TEST_CASE("statistics are one JSON object with every figure") {
  Statistics statistics;
  statistics.name = "a \"quoted\\\" name\n";
  statistics.exit_status = 3;
  statistics.exit_reason = ToString(StopReason::kCrash);
  statistics.boots = 2;
  statistics.startup = {{"config", 10}, {"machine", 20}};
  statistics.first_run_boottime_ns = 30;
  statistics.first_run_cpu_ns = 25;
  statistics.refused_accesses = 4;
  statistics.rtc_alarms = 5;
  VcpuExits exits;
  exits.mmio_read = 1;
  exits.mmio_write = 2;
  exits.undecodable = 3;
  exits.interrupted = 4;
  exits.system_event = 5;
  exits.other = 6;
  exits.delays = {.page_faults = 7, .preemptions = 8, .allocations = 9};
  AddExits(statistics, exits);
  AddExits(statistics, exits);
  statistics.devices = {{.name = "one",
                         .interrupts = 7,
                         .userspace_irqs = 8,
                         .mapped_bytes = 9,
                         .trapped_reads = 10,
                         .trapped_writes = 11,
                         .denied_reads = 12,
                         .denied_writes = 13,
                         .rearmed_interrupts = 14},
                        {.name = "two",
                         .interrupts = std::nullopt,
                         .userspace_irqs = 0,
                         .mapped_bytes = 0,
                         .trapped_reads = 0,
                         .trapped_writes = 0,
                         .denied_reads = 0,
                         .denied_writes = 0,
                         .rearmed_interrupts = 0}};
  statistics.virtio = {{.name = "disk0",
                        .requests = 1,
                        .bytes_read = 2,
                        .bytes_written = 3,
                        .errors = 4,
                        .notifications = 5,
                        .interrupts = 6,
                        .failures = 7}};
  statistics.pl061s = {{.name = "gpio0", .edges = 1, .interrupts = 2, .errors = 3}};
  CHECK(FormatJson(statistics) == R"({"name":"a \"quoted\\\" name ",
"exit":{"status":3,"reason":"crash"},
"startup":{"config_ns":10,"machine_ns":20,"first_run_boottime_ns":30,"first_run_cpu_ns":25},
"boots":2,
"vcpu_exits":{"mmio_read":2,"mmio_write":4,"undecodable":6,"interrupted":8,"system_event":10,"other":12},
"vcpu_delays":{"page_faults":14,"preemptions":16,"allocations":18},
"refused_accesses":4,
"rtc_alarms":5,
"devices":[
  {"name":"one","interrupts":7,"userspace_irqs":8,"mapped_bytes":9,"trapped_reads":10,"trapped_writes":11,"denied_reads":12,"denied_writes":13,"rearmed_interrupts":14},
  {"name":"two","interrupts":null,"userspace_irqs":0,"mapped_bytes":0,"trapped_reads":0,"trapped_writes":0,"denied_reads":0,"denied_writes":0,"rearmed_interrupts":0}],
"virtio":[
  {"name":"disk0","requests":1,"bytes_read":2,"bytes_written":3,"errors":4,"notifications":5,"interrupts":6,"failures":7}],
"pl061":[
  {"name":"gpio0","edges":1,"interrupts":2,"errors":3}]}
)");
}

TEST_CASE("statistics of nothing are still an object") {
  CHECK(FormatJson(Statistics{}) == R"({"name":"",
"exit":{"status":0,"reason":""},
"startup":{"first_run_boottime_ns":0,"first_run_cpu_ns":0},
"boots":0,
"vcpu_exits":{},
"vcpu_delays":{"page_faults":0,"preemptions":0,"allocations":0},
"refused_accesses":0,
"rtc_alarms":0,
"devices":[],
"virtio":[],
"pl061":[]}
)");
}

TEST_CASE("every reason has a name") {
  CHECK(std::string(ToString(StopReason::kPowerOff)) == "power-off");
  CHECK(std::string(ToString(StopReason::kReset)) == "reset");
  CHECK(std::string(ToString(StopReason::kCrash)) == "crash");
  CHECK(std::string(ToString(StopReason::kVcpuError)) == "vcpu-error");
  CHECK(std::string(ToString(StopReason::kTerminated)) == "terminated");
  CHECK(std::string(ToString(StopReason::kConsoleQuit)) == "console-quit");
}

TEST_CASE("a machine counts exits over vCPUs and boots, and accesses that nobody takes") {
  Board board;
  board.config.cpu.count = 2;
  for (int boot = 0; boot < 2; ++boot) {
    board.kernel.Script(0, {fakes::MmioRead(0x5000, 4), fakes::MmioWrite(0x5000, 4, 0),
                            boot == 0 ? fakes::Reset() : fakes::PowerOff()});
  }
  const Statistics statistics = board.Run().statistics;
  CHECK(statistics.name == "sample");
  CHECK(statistics.boots == 2);
  CHECK(statistics.refused_accesses == 4);
  CHECK(statistics.first_run_boottime_ns > 0);
  CHECK(statistics.first_run_cpu_ns > 0);
  REQUIRE(statistics.vcpu_exits.size() == 6);
  CHECK(statistics.vcpu_exits[0] == std::pair<std::string, std::uint64_t>("mmio_read", 2));
  CHECK(statistics.vcpu_exits[1] == std::pair<std::string, std::uint64_t>("mmio_write", 2));
  CHECK(statistics.vcpu_exits[4] == std::pair<std::string, std::uint64_t>("system_event", 2));
}

TEST_CASE("a device's figures are the host's count since the start, and what was trapped") {
  Board board;
  board.AddCan();
  board.AddTimer();
  board.host.SetInterrupts(" 35:  100  1  GICv3  53 Level  vfio-irq[35](ff070000.canfd)\n");
  board.kernel.Script(
      0,
      {fakes::MmioRead(0x1401'0000, 4), fakes::MmioWrite(0x1401'0010, 1, 1), fakes::Meanwhile([&] {
         board.host.SetInterrupts(" 35:  100  43  GICv3  53 Level  vfio-irq[35](ff070000.canfd)\n");
       }),
       fakes::PowerOff()});
  const Statistics statistics = board.Run().statistics;
  REQUIRE(statistics.devices.size() == 2);
  CHECK(statistics.devices[0].name == fakes::kCanName);
  CHECK(statistics.devices[0].interrupts == 42);
  CHECK(statistics.devices[0].userspace_irqs == 0);
  CHECK(statistics.devices[0].mapped_bytes == 0x6000);
  CHECK(statistics.devices[0].trapped_reads == 0);
  CHECK(statistics.devices[1].mapped_bytes == 0x1000);
  CHECK(statistics.devices[1].trapped_reads == 1);
  CHECK(statistics.devices[1].trapped_writes == 1);
}

TEST_CASE("a count that the host cannot tell is none, not zero") {
  // The name is an AMBA device's: its interrupts are named by type, here by another's too.
  Board board;
  board.AddCan();
  const auto platform = board.host.root() / "sys/bus/platform/devices" / fakes::kCanName;
  const auto amba = board.host.root() / "sys/bus/amba/devices" / fakes::kCanName;
  const fakes::HostTreeDevice twin{.name = "twin", .driver = "vfio-amba", .bus = "amba"};
  board.kernel.Script(0, {fakes::Meanwhile([&] {
                            std::filesystem::rename(platform, amba);
                            board.host.Write("sys/devices/ff070000.canfd/id", "00041061\n");
                            board.host.AddDevice(twin);
                            board.host.Write("sys/devices/twin/id", "00041061\n");
                          }),
                          fakes::PowerOff()});
  CHECK(board.Run().statistics.devices.at(0).interrupts == std::nullopt);
}

TEST_CASE("interrupts that pass user space are counted there") {
  Board board;
  board.AddTimer();
  board.config.platform[0].interrupts = InterruptPath::kUserspace;
  board.kernel.Script(0, {fakes::Meanwhile([&] {
                            // One at a time: an eventfd adds up what comes together.
                            board.kernel.RaiseInterrupt(fakes::kTimerName, 0);
                          }),
                          fakes::Meanwhile([] { ::usleep(100'000); }), fakes::PowerOff()});
  const Statistics statistics = board.Run().statistics;
  CHECK(statistics.devices[0].userspace_irqs == 1);
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

}  // namespace
}  // namespace microvm
