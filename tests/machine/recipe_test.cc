// SPDX-License-Identifier: Apache-2.0
// The order in which a machine is built, run, rebooted and taken down.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::Board;

// From the memory of the guest on; what comes before is the business of other tests.
std::string LogFromRam(const Board& board) {
  const auto log = board.kernel.log();
  const auto ram = std::find(log.begin(), log.end(), "mmap memory");
  return fakes::Lines({ram, log.end()});
}

constexpr const char* kMachine =
    "mmap memory\n"
    "munmap\n"
    "madvise hugepage\n"
    "mmap ff070000.canfd\n"
    "eventfd\n"  // the trigger
    "eventfd\n"  // the resample
    "eventfd\n"  // the probe of lines that went quiet
    "eventfd\n"  // the end of a vCPU
    // Before the device can reach the guest's RAM.
    "VFIO_DEVICE_RESET\n"
    "VFIO_IOMMU_MAP_DMA\n";

constexpr const char* kBoot =
    "KVM_CREATE_VM 32\n"
    "KVM_ENABLE_CAP\n"
    // SCHED_FIFO, while KVM's tables are changed.
    "sched_setscheduler 1 1\n"
    "KVM_SET_USER_MEMORY_REGION 0x40000000+0x800000\n"
    "KVM_SET_USER_MEMORY_REGION 0x14000000+0x6000\n"
    // vCPUs before the vGIC is initialised, which none may follow.
    "KVM_CREATE_VCPU 0\n"
    "mmap vcpu 0\n"
    "KVM_ARM_PREFERRED_TARGET\n"
    "KVM_ARM_VCPU_INIT\n"
    "KVM_GET_ONE_REG\n"
    "KVM_CREATE_DEVICE\n"
    "KVM_SET_DEVICE_ATTR 3/0x0\n"
    "KVM_SET_DEVICE_ATTR 0/0x2\n"
    "KVM_SET_DEVICE_ATTR 0/0x5\n"
    "KVM_SET_DEVICE_ATTR 4/0x0\n"
    "KVM_SET_DEVICE_ATTR 1/0xc08\n"
    "sched_setscheduler 0 0\n"
    "pread\n"  // the kernel
    "KVM_SET_ONE_REG\n"
    "KVM_SET_ONE_REG\n"
    "KVM_SET_ONE_REG\n"
    // Interrupts when all is in place: into KVM first, the host's line last.
    "sched_setscheduler 1 1\n"
    "KVM_IRQFD assign resample spi 1\n"
    "VFIO_DEVICE_SET_IRQS 0 unmask eventfd\n"
    "VFIO_DEVICE_SET_IRQS 0 trigger eventfd\n"
    "VFIO_DEVICE_SET_IRQS 0 unmask\n"
    "sched_setscheduler 0 0\n"   // the vCPU's thread
    "sched_setscheduler 0 0\n";  // the program's own

// Masked before anything else goes; the VM last.
constexpr const char* kEndOfBoot =
    "sched_setscheduler 1 1\n"
    "VFIO_DEVICE_SET_IRQS 0 mask\n"
    "VFIO_DEVICE_SET_IRQS 0 trigger off\n"
    "VFIO_DEVICE_SET_IRQS 0 unmask no eventfd\n"
    "KVM_IRQFD deassign spi 1\n"
    "close vgic\n"
    "munmap\n"
    "close vcpu 0\n"
    "close vm\n"
    "sched_setscheduler 0 0\n";

// The device is brought to rest and closed before the container that maps memory for it.
constexpr const char* kEndOfMachine =
    "VFIO_DEVICE_RESET\n"
    "close eventfd\n"
    "close eventfd\n"
    "close eventfd\n"
    "close eventfd\n"
    "munmap\n"
    "close ff070000.canfd\n"
    "close group 7\n"
    "close container\n"
    "munmap\n"
    "close file Image\n"
    "close kvm\n";

TEST_CASE("a machine is built, run and taken down in the documented order") {
  Board board;
  board.AddCan();
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK(LogFromRam(board) == std::string(kMachine) + kBoot + kEndOfBoot + kEndOfMachine);
}

TEST_CASE("through iommufd the order is the same: the device goes before what it reaches") {
  Board board;
  board.AddCan(DmaMode::kIommu, 0);
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  std::string expected = std::string(kMachine) + kBoot + kEndOfBoot + kEndOfMachine;
  const auto replace = [&](const std::string& before, const std::string& after) {
    const std::size_t at = expected.find(before);
    REQUIRE(at != std::string::npos);
    expected.replace(at, before.size(), after);
  };
  replace("VFIO_IOMMU_MAP_DMA\n", "IOMMU_IOAS_MAP\n");
  replace("close group 7\nclose container\n", "close iommufd\n");
  CHECK(LogFromRam(board) == expected);
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("at a reset the device is masked, then reset, then RAM is made anew, then it is armed") {
  Board board;
  board.AddCan();
  constexpr int kResets = 3;
  for (int boot = 0; boot < kResets; ++boot) board.kernel.Script(0, {fakes::Reset()});
  board.kernel.Script(0, {fakes::PowerOff()});
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.reason == StopReason::kPowerOff);
  CHECK(outcome.statistics.boots == kResets + 1);
  // RAM that VFIO has pinned is cleared in place, without a call.
  std::string expected = std::string(kMachine) + kBoot + kEndOfBoot;
  for (int boot = 0; boot < kResets; ++boot) {
    expected += std::string("VFIO_DEVICE_RESET\n") + kBoot + kEndOfBoot;
  }
  CHECK(LogFromRam(board) == expected + kEndOfMachine);
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("RAM that no device can write to is dropped at a reset") {
  Board board;
  board.kernel.Script(0, {fakes::Reset()});
  board.kernel.Script(0, {fakes::PowerOff()});
  board.Run();
  const auto log = board.kernel.log();
  const auto dropped = std::find(log.begin(), log.end(), "madvise dontneed");
  const auto closed = std::find(log.begin(), log.end(), "close vm");
  REQUIRE(dropped != log.end());
  CHECK(closed < dropped);
}

TEST_CASE("a level that stays high over a reset interrupts the next boot too") {
  Board board;
  board.AddCan();
  unsigned before = 0;
  board.kernel.Script(0, {fakes::Meanwhile([&] {
                            board.kernel.RaiseInterrupt(fakes::kCanName, 0);
                            ++before;
                          }),
                          fakes::Reset()});
  board.kernel.host.devices[0].can_reset = false;
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK(before == 1);
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

// How often a recipe's only step, a write, was run, and where.
std::vector<std::string> BootsAndWrites(const Board& board) {
  std::vector<std::string> seen;
  for (const std::string& call : board.kernel.log()) {
    if (call == "pwrite" || call == "KVM_CREATE_VM 32" || call == "VFIO_IOMMU_MAP_DMA" ||
        call == "VFIO_DEVICE_RESET" || call == "VFIO_DEVICE_SET_IRQS 0 mask") {
      seen.push_back(call);
    }
  }
  return seen;
}

TEST_CASE("a recipe runs after the kernel's reset: at the start, at a reboot and at the end") {
  Board board;
  board.AddCan();
  board.config.platform[0].reset.recipe = {
      {.action = ResetStep::Action::kWrite, .value = 1, .mask = 0xffff'ffff}};
  board.kernel.Script(0, {fakes::Reset()});
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK(BootsAndWrites(board) ==
        std::vector<std::string>{"VFIO_DEVICE_RESET", "pwrite", "VFIO_IOMMU_MAP_DMA",
                                 "KVM_CREATE_VM 32", "VFIO_DEVICE_SET_IRQS 0 mask",
                                 "VFIO_DEVICE_RESET", "pwrite", "KVM_CREATE_VM 32",
                                 "VFIO_DEVICE_SET_IRQS 0 mask", "VFIO_DEVICE_RESET", "pwrite"});
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("a recipe runs when a guest crashes or its vCPU fails, DMA unmapped only afterwards") {
  for (const fakes::VcpuExit& end : {fakes::Crash(), fakes::RunFails(EFAULT)}) {
    Board board;
    board.AddCan();
    board.config.platform[0].reset.recipe = {
        {.action = ResetStep::Action::kWrite, .value = 1, .mask = 0xffff'ffff}};
    board.kernel.Script(0, {end});
    board.Run();
    const std::vector<std::string> seen = BootsAndWrites(board);
    REQUIRE(seen.size() == 7);
    CHECK(std::vector(seen.begin() + 4, seen.end()) ==
          std::vector<std::string>{"VFIO_DEVICE_SET_IRQS 0 mask", "VFIO_DEVICE_RESET", "pwrite"});
    const auto log = board.kernel.log();
    const auto last_write = std::find(log.rbegin(), log.rend(), "pwrite").base();
    CHECK(std::find(log.begin(), last_write, "close container") == last_write);
    CHECK(std::find(last_write, log.end(), "close container") != log.end());
    CHECK(board.kernel.violations() == std::vector<std::string>{});
  }
}

TEST_CASE("a device that does not come to rest is not given to a guest") {
  Board board;
  board.AddCan();
  board.config.platform[0].reset.recipe = {
      {.action = ResetStep::Action::kPoll, .value = 1, .mask = 1, .us = 1}};
  const Board::Outcome outcome = board.Run();
  CHECK(fakes::Contains(outcome.chain,
                        "cannot bring device 'ff070000.canfd' to rest\n"
                        "  step 1 of its recipe (poll at 0x0 of region 0)\n"
                        "    after 1 us the register's bits 0x1 are 0x0, not 0x1"));
  CHECK_FALSE(fakes::Contains(fakes::Lines(board.kernel.log()), "VFIO_IOMMU_MAP_DMA"));
  CHECK(board.kernel.Live() == std::vector<std::string>{});
}

TEST_CASE("a device that does not come to rest at the end is an error, and the others are reset") {
  Board board;
  board.AddTimer();
  board.AddCan();
  // A register that stays as the guest leaves it.
  board.config.platform[0].reset.recipe = {
      {.action = ResetStep::Action::kPoll, .value = 0, .mask = 0xff, .us = 1}};
  board.kernel.Script(0, {fakes::MmioWrite(0x1400'0000, 4, 7), fakes::PowerOff()});
  const Board::Outcome outcome = board.Run();
  CHECK(fakes::Contains(outcome.chain, "cannot bring device 'ff120000.timer' to rest"));
  const auto log = board.kernel.log();
  CHECK(std::count(log.begin(), log.end(), "VFIO_DEVICE_RESET") == 2);
}

TEST_CASE("reset = \"none\" leaves a device as it is") {
  Board board;
  board.AddCan();
  board.config.platform[0].reset.policy = ResetPolicy::kNone;
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK_FALSE(fakes::Contains(fakes::Lines(board.kernel.log()), "VFIO_DEVICE_RESET"));
}

TEST_CASE("a device that cannot be reset is masked over a reboot all the same") {
  Board board;
  board.AddTimer();
  board.kernel.Script(0, {fakes::Reset()});
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().statistics.boots == 2);
  CHECK_FALSE(fakes::Contains(fakes::Lines(board.kernel.log()), "VFIO_DEVICE_RESET"));
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

}  // namespace
}  // namespace microvm
