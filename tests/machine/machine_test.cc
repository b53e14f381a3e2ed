// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "vmm/kvm/arm64_uapi.h"
#include "vmm/machine/stop_signals.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;
using fakes::Lines;

// Everything is given back, in an order that leaves nothing loose.
void CheckCleanEnd(const Board& board) {
  CHECK(board.kernel.Live() == std::vector<std::string>{});
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("a guest that powers off ends the machine, and leaves nothing") {
  Board board;
  board.AddCan();
  board.AddTimer();
  board.kernel.Script(0, {fakes::PowerOff()});
  const std::size_t descriptors = fakes::OpenDescriptors();
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.reason == StopReason::kPowerOff);
  CHECK(outcome.chain == "");
  CHECK(outcome.output == "");
  CHECK(outcome.statistics.boots == 1);
  CHECK(fakes::OpenDescriptors() == descriptors);
  CheckCleanEnd(board);
}

TEST_CASE("a boot that fails before the guest runs is none") {
  Board board;
  board.kernel.FailMatching("KVM_CREATE_VCPU", ENOMEM);
  const Board::Outcome outcome = board.Run();
  CHECK(Contains(outcome.chain, "KVM_CREATE_VCPU"));
  CHECK(outcome.statistics.boots == 0);
  CHECK(outcome.statistics.first_run_boottime_ns == 0);
  CheckCleanEnd(board);
}

TEST_CASE("a guest that crashes, or whose vCPU fails, ends with that reason") {
  Board crash;
  crash.kernel.Script(0, {fakes::Crash()});
  CHECK(crash.Run().reason == StopReason::kCrash);
  CheckCleanEnd(crash);
  Board broken;
  broken.kernel.Script(0, {fakes::RunFails(EFAULT)});
  const Board::Outcome outcome = broken.Run();
  CHECK(outcome.reason == StopReason::kVcpuError);
  CHECK(outcome.output == "microvm: vCPU 0: KVM_RUN: Bad address\n");
  CheckCleanEnd(broken);
}

TEST_CASE("SIGTERM, SIGINT, SIGHUP and SIGQUIT end the machine and release its devices") {
  const auto before = ::signal(SIGHUP, SIG_DFL);  // the tests themselves may run by nohup
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) {
    Board board;
    board.AddCan();
    board.config.cpu.count = 2;
    board.kernel.Script(1, {fakes::Meanwhile([signal] { ::kill(::getpid(), signal); })});
    const Board::Outcome outcome = board.Run();
    CHECK(outcome.reason == StopReason::kTerminated);
    CHECK(outcome.statistics.boots == 1);
    CheckCleanEnd(board);
  }
  ::signal(SIGHUP, before);
}

TEST_CASE("SIGHUP stays ignored if it was, as by nohup; the others do not") {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) {
    CAPTURE(signal);
    Board board;
    board.kernel.Script(0, {fakes::Meanwhile([signal] {
                              ::kill(::getpid(), signal);
                              ::usleep(100'000);
                            }),
                            fakes::PowerOff()});
    const auto before = ::signal(signal, SIG_IGN);
    const auto reason = board.Run().reason;
    const auto after = ::signal(signal, before);
    // Still blocked since an earlier machine, it may be waiting.
    sigset_t this_one;
    sigemptyset(&this_one);
    sigaddset(&this_one, signal);
    const timespec at_once{};
    ::sigtimedwait(&this_one, nullptr, &at_once);
    CHECK(reason == (signal == SIGHUP ? StopReason::kPowerOff : StopReason::kTerminated));
    CHECK((after == (signal == SIGHUP ? SIG_IGN : SIG_DFL)));
  }
}

TEST_CASE("a signal that comes before the guest runs ends it, and later ones do no harm") {
  Board board;
  board.AddCan();
  board.config.platform[0].reset.recipe = {{.action = ResetStep::Action::kDelay, .us = 1}};
  StopSignals stop_signals;
  ::kill(::getpid(), SIGTERM);  // waits, as one that comes during the set-up
  board.kernel.Script(0, {fakes::Meanwhile([] { ::kill(::getpid(), SIGTERM); })});
  CHECK(board.Run().reason == StopReason::kTerminated);
  ::kill(::getpid(), SIGTERM);
  CheckCleanEnd(board);
  stop_signals.Take();
}

TEST_CASE("a signal that comes while the guest reboots is not forgotten") {
  Board board;
  for (int boot = 0; boot < 3; ++boot) {
    board.kernel.Script(0, {fakes::Meanwhile([boot] {
                              if (boot == 1) ::kill(::getpid(), SIGTERM);
                            }),
                            fakes::Reset()});
  }
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.reason == StopReason::kTerminated);
  CHECK(outcome.statistics.boots <= 3);
  CheckCleanEnd(board);
}

TEST_CASE("a guest that reboots in a loop cannot fill the log") {
  constexpr int kBoots = 20;
  Board board;
  board.AddCan();
  board.config.cpu.count = 2;
  for (int boot = 0; boot < kBoots; ++boot) {
    std::vector<fakes::VcpuExit> script(5, fakes::MmioRead(0x100, 4));
    script.insert(script.end(), 5, fakes::Undecodable(0x1234));
    script.push_back(boot + 1 == kBoots ? fakes::PowerOff() : fakes::Reset());
    board.kernel.Script(0, std::move(script));
  }
  board.kernel.FailMatching("VFIO_DEVICE_SET_IRQS 0 mask", EIO);
  board.kernel.FailMatching("KVM_IRQFD deassign", EIO);
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.reason == StopReason::kPowerOff);
  CHECK(outcome.statistics.refused_accesses == kBoots * 5);
  CHECK(Contains(outcome.output, "cannot disarm an interrupt"));
  const auto count = [&](std::string_view what) {
    std::size_t found = 0;
    for (std::size_t at = outcome.output.find(what); at != std::string::npos;
         at = outcome.output.find(what, at + 1)) {
      ++found;
    }
    return found;
  };
  CHECK(count(" ignored (no device)") == 8);
  CHECK(count(" cannot be decoded") == 8);
  CHECK(count("microvm: cannot disarm an interrupt") + count("microvm: KVM_IRQFD (deassign)") == 8);
}

TEST_CASE("any vCPU may end the guest, and all are stopped then") {
  Board board;
  board.config.cpu.count = 4;
  board.kernel.Script(3, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CheckCleanEnd(board);
}

TEST_CASE("of two vCPUs that end the guest at once one is heard") {
  for (int round = 0; round < 20; ++round) {
    Board board;
    board.config.cpu.count = 2;
    board.kernel.Script(0, {fakes::PowerOff()});
    board.kernel.Script(1, {fakes::Reset()});
    board.kernel.Script(0, {fakes::PowerOff()});
    board.kernel.Script(1, {fakes::Reset()});
    board.kernel.Script(0, {fakes::PowerOff()});
    const Board::Outcome outcome = board.Run();
    CHECK((outcome.reason == StopReason::kPowerOff || outcome.statistics.boots > 1));
    CheckCleanEnd(board);
  }
}

TEST_CASE("vCPU threads get their host CPU, policy and priority before the guest runs") {
  Board board;
  board.config.cpu.count = 2;
  board.config.cpu.affinity = {3, 1};
  board.config.cpu.policy = SchedulingPolicy::kRoundRobin;
  board.config.cpu.priority = 7;
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK(Contains(Lines(board.kernel.log()),
                 "sched_setaffinity 3\nsched_setscheduler 2 7\nsched_setscheduler 0 0\n"
                 "sched_setaffinity 1\nsched_setscheduler 2 7\n"));
  CheckCleanEnd(board);
}

TEST_CASE("a user who may not have real-time threads has a machine all the same") {
  Board board;
  board.kernel.host.may_schedule = false;
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK_FALSE(Contains(Lines(board.kernel.log()), "sched_setscheduler 0 0"));
  CheckCleanEnd(board);
}

TEST_CASE("a host CPU that is not there is named, with where to see which are") {
  Board board;
  board.config.cpu.affinity = {99};
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain ==
        "cannot pin vCPU 0 to host CPU 99\n"
        "  sched_setaffinity: Invalid argument\n"
        "to fix it:\n"
        "  correct cpu.affinity; the host's CPUs: cat /sys/devices/system/cpu/online\n");
  CheckCleanEnd(board);
}

TEST_CASE("a thread that cannot be made is named, with the limits to raise") {
  Board board;
  board.AddCan();
  pthread_attr_t before{};
  pthread_getattr_default_np(&before);
  pthread_attr_t huge{};
  pthread_attr_init(&huge);
  pthread_attr_setstacksize(&huge, std::size_t{1} << 47);  // more than there are addresses
  pthread_setattr_default_np(&huge);
  const Board::Outcome outcome = board.Run();
  pthread_setattr_default_np(&before);
  CHECK(Contains(outcome.chain,
                 "cannot make the thread of vCPU 0\n"
                 "  pthread_create: Resource temporarily unavailable\n"
                 "to fix it:\n"));
  CHECK(Contains(outcome.chain, "ulimit -u"));
  CheckCleanEnd(board);
}

TEST_CASE("a policy that is not permitted is named, with the limit to raise") {
  Board board;
  board.config.cpu.policy = SchedulingPolicy::kFifo;
  board.config.cpu.priority = 40;
  board.kernel.host.may_schedule = false;
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain ==
        "cannot give vCPU 0 the policy \"fifo\"\n"
        "  sched_setscheduler: Operation not permitted\n"
        "to fix it:\n  run as root, or raise the limit: ulimit -r 40\n");
  CheckCleanEnd(board);
}

TEST_CASE("an affinity of KVM's that is not the tree's is refused") {
  Board board;
  board.kernel.host.wrong_mpidr = true;
  CHECK(board.Run().chain ==
        "vCPU 0\n  KVM gave it the affinity 0x7f0000, the device tree says 0x0\n");
  CheckCleanEnd(board);
}

TEST_CASE("a host without vGICv3 is refused with what it takes") {
  Board board;
  board.kernel.host.has_vgic_v3 = false;
  const Board::Outcome outcome = board.Run();
  CHECK(Contains(outcome.chain,
                 "this host's KVM has no vGICv3\n"
                 "  KVM_DEV_TYPE_ARM_VGIC_V3\n"
                 "    KVM_CREATE_DEVICE: No such device\n"));
  CHECK(Contains(outcome.chain, "the host needs a GICv3"));
  CheckCleanEnd(board);
}

TEST_CASE("an interrupt that somebody else has names the device too") {
  Board board;
  board.AddCan();
  board.kernel.host.devices[0].irqs[0].line_error = EBUSY;
  const Board::Outcome outcome = board.Run();
  CHECK(Contains(outcome.chain, "'ff070000.canfd': interrupt 0 is taken: "));
  CHECK(board.kernel.Live().empty());
}

// A device with so many interrupts, all on lines of their own.
void AddWithInterrupts(Board& board, std::size_t count, bool level) {
  board.AddTimer();
  board.kernel.host.devices[0].irqs.assign(count, {.level = level});
}

TEST_CASE("more than 200 interrupts of a device are armed, on SPIs that the vGIC has") {
  constexpr unsigned kCount = 250;
  for (const bool level : {true, false}) {
    Board board;
    AddWithInterrupts(board, kCount, level);
    board.kernel.Script(0, {fakes::Meanwhile([&] {
                              for (unsigned index = 0; index < kCount; ++index) {
                                board.kernel.RaiseInterrupt(fakes::kTimerName, index);
                              }
                            }),
                            fakes::PowerOff()});
    const Board::Outcome outcome = board.Run();
    CHECK(outcome.reason == StopReason::kPowerOff);
    const auto log = board.kernel.log();
    CHECK(std::count_if(log.begin(), log.end(), [](const std::string& call) {
            return call.starts_with("KVM_IRQFD assign");
          }) == kCount);
    CheckCleanEnd(board);
  }
}

TEST_CASE("a line that is listed twice is armed once") {
  Board board;
  board.host.AddDevice({.name = "ff140000.mac",
                        .driver = "vfio-platform",
                        .group = 3,
                        .no_iommu = true,
                        .node = "/axi/mac@ff140000",
                        .compatible = "acme,mac"});
  board.kernel.host.devices.push_back(
      {.name = "ff140000.mac",
       .group = 3,
       .no_iommu = true,
       .regions = {{.size_bytes = 0x1000}},
       .irqs = {{.level = true}, {.level = true, .line_error = EBUSY}}});
  board.config.platform.push_back(
      {.host = "ff140000.mac", .dma = DmaMode::kNone, .clocks_hz = {}, .drop = {}, .reset = {}});
  board.config.platform[0].interrupts = InterruptPath::kUserspace;
  board.config.platform[0].ignore_dma_signs = true;
  board.kernel.Script(0, {fakes::Meanwhile([&] {
                            board.kernel.RaiseInterrupt("ff140000.mac", 0);
                            ::usleep(100'000);
                          }),
                          fakes::PowerOff()});
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain == "");
  CHECK(outcome.reason == StopReason::kPowerOff);
  CHECK(outcome.statistics.devices.at(0).userspace_irqs == 1);
  const auto log = board.kernel.log();
  CHECK(std::count(log.begin(), log.end(), "KVM_IRQFD assign resample spi 1") == 1);
  CHECK(std::count(log.begin(), log.end(), "VFIO_DEVICE_SET_IRQS 1 trigger eventfd") == 0);
  CheckCleanEnd(board);
}

TEST_CASE("no RAM is mapped for devices that do no DMA") {
  Board board;
  board.AddCan(DmaMode::kNone);
  board.AddTimer();
  board.kernel.Script(0, {fakes::PowerOff()});
  board.Run();
  CHECK_FALSE(Contains(Lines(board.kernel.log()), "VFIO_IOMMU_MAP_DMA"));
}

TEST_CASE("locked and huge memory are what the configuration says") {
  Board board;
  board.config.memory.lock = true;
  board.config.memory.hugepage_bytes = 2U << 20;
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK(Contains(Lines(board.kernel.log()), "mlock\n"));
  CHECK_FALSE(Contains(Lines(board.kernel.log()), "madvise hugepage"));
}

TEST_CASE("a PMU is finished when the vGIC is") {
  Board board;
  board.config.cpu.pmu = true;
  board.config.cpu.sve = true;
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CheckCleanEnd(board);
}

TEST_CASE("the first vCPU starts at the kernel with the tree's address, all exceptions masked") {
  Board board;
  board.kernel.Script(0, {fakes::PowerOff()});
  board.Run();
  const auto registers = board.kernel.registers();
  CHECK(registers.at({0, arm64::kCoreRegisterPc}) == 0x4000'0000);
  CHECK(registers.at({0, arm64::CoreRegisterX(0)}) == 0x4020'0000);
  CHECK(registers.at({0, arm64::kCoreRegisterPstate}) == 0x3c5);
}

TEST_CASE("each SPI of a device has its trigger before the guest runs") {
  Board board;
  board.AddTimer();
  board.kernel.Script(0, {fakes::PowerOff()});
  board.Run();
  // GICD_ICFGR2 is SPIs 0 to 15: SPI 1 is the edge, SPI 2 the level.
  CHECK(board.kernel.registers().at({~0U, 0xc08}) == 2U << 2);
}

}  // namespace
}  // namespace microvm
