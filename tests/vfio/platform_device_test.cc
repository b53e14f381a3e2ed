// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/platform_device.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "tests/fakes/exceptions.h"
#include "tests/vfio/opened_device.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::ChainOf;
using fakes::Contains;
using fakes::kCanName;
using fakes::kTimerName;
using fakes::OpenedDevice;

PlannedDevice CanPlan() {
  PlannedDevice plan{};
  plan.host = kCanName;
  plan.regions = {{AddressRange({0x1400'0000}, 0x6000), true}};
  plan.interrupts = {{Spi{1}, Trigger::kLevel}};
  return plan;
}

PlannedDevice TimerPlan() {
  PlannedDevice plan{};
  plan.host = kTimerName;
  plan.regions = {{AddressRange({0x1400'0000}, 0x100), false},
                  {AddressRange({0x1401'0000}, 0x1000), true, 1}};
  plan.interrupts = {{Spi{1}, Trigger::kEdge}, {Spi{2}, Trigger::kLevel, 1}};
  return plan;
}

// How often an eventfd was signalled since it was last read.
std::uint64_t Signals(const Fd& eventfd) {
  std::uint64_t count = 0;
  return ::read(eventfd.get(), &count, sizeof(count)) == sizeof(count) ? count : 0;
}

TEST_CASE("a level interrupt is connected end first, and taken down masked first") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  const Fd trigger = MakeEventFd(board.kernel);
  const Fd resample = MakeEventFd(board.kernel);
  board.kernel.ClearLog();
  {
    const ArmedInterrupt armed(*opened.device, 0, {Spi{1}, Trigger::kLevel}, opened.vm, trigger,
                               trigger, resample, opened.log);
  }
  CHECK(fakes::Lines(board.kernel.log()) ==
        "KVM_IRQFD assign resample spi 1\n"
        "VFIO_DEVICE_SET_IRQS 0 unmask eventfd\n"
        "VFIO_DEVICE_SET_IRQS 0 trigger eventfd\n"
        "VFIO_DEVICE_SET_IRQS 0 unmask\n"
        "VFIO_DEVICE_SET_IRQS 0 mask\n"
        "VFIO_DEVICE_SET_IRQS 0 trigger off\n"
        "VFIO_DEVICE_SET_IRQS 0 unmask no eventfd\n"
        "KVM_IRQFD deassign spi 1\n");
  CHECK(board.kernel.violations().empty());
}

TEST_CASE("an edge interrupt is a trigger and nothing else") {
  Board board;
  board.AddTimer();
  OpenedDevice opened(board, kTimerName);
  const Fd trigger = MakeEventFd(board.kernel);
  board.kernel.ClearLog();
  {
    const ArmedInterrupt armed(*opened.device, 0, {Spi{3}, Trigger::kEdge}, opened.vm, trigger,
                               trigger, Fd(), opened.log);
    board.kernel.RaiseInterrupt(kTimerName, 0);
  }
  CHECK(Signals(trigger) == 1);
  CHECK(fakes::Lines(board.kernel.log()) ==
        "KVM_IRQFD assign spi 3\n"
        "VFIO_DEVICE_SET_IRQS 0 trigger eventfd\n"
        "VFIO_DEVICE_SET_IRQS 0 trigger off\n"
        "KVM_IRQFD deassign spi 3\n");
}

TEST_CASE("a level that is high when it is armed, or armed again, is not lost") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  const Fd trigger = MakeEventFd(board.kernel);
  const Fd resample = MakeEventFd(board.kernel);
  board.kernel.RaiseInterrupt(kCanName, 0);
  for (int boot = 0; boot < 3; ++boot) {
    const ArmedInterrupt armed(*opened.device, 0, {Spi{1}, Trigger::kLevel}, opened.vm, trigger,
                               trigger, resample, opened.log);
    CHECK(Signals(trigger) >= 1);  // a level is one however often it is signalled
  }
}

TEST_CASE("an interrupt that cannot be armed is disarmed as far as it came") {
  for (const char* call :
       {"VFIO_DEVICE_SET_IRQS 0 unmask eventfd", "VFIO_DEVICE_SET_IRQS 0 trigger eventfd",
        "VFIO_DEVICE_SET_IRQS 0 unmask", "KVM_IRQFD assign"}) {
    CAPTURE(call);
    Board board;
    board.AddCan();
    OpenedDevice opened(board);
    {
      const Fd trigger = MakeEventFd(board.kernel);
      const Fd resample = MakeEventFd(board.kernel);
      board.kernel.FailMatching(call, EIO);
      CHECK(Contains(ChainOf([&] {
                       ArmedInterrupt(*opened.device, 0, {Spi{1}, Trigger::kLevel}, opened.vm,
                                      trigger, trigger, resample, opened.log);
                     }),
                     "Input/output error"));
    }
    const std::string last = board.kernel.violations().empty() ? "" : "released too late";
    CHECK((last.empty() || std::string(call) == "VFIO_DEVICE_SET_IRQS 0 unmask"));
  }
}

TEST_CASE("an interrupt that cannot be masked is taken from its eventfds all the same") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  const fakes::CapturedStream errors(STDERR_FILENO);
  {
    const Fd trigger = MakeEventFd(board.kernel);
    const Fd resample = MakeEventFd(board.kernel);
    {
      const ArmedInterrupt armed(*opened.device, 0, {Spi{1}, Trigger::kLevel}, opened.vm, trigger,
                                 trigger, resample, opened.log);
      board.kernel.FailMatching("VFIO_DEVICE_SET_IRQS 0 mask", EIO);
    }
  }
  CHECK(board.kernel.violations().empty());
  CHECK(Contains(errors.text(), "VFIO_DEVICE_SET_IRQS (mask): Input/output error"));
}

TEST_CASE("a device maps what is mapped, traps the rest, and makes an eventfd for each wire") {
  Board board;
  board.AddTimer();
  OpenedDevice opened(board, kTimerName);
  const VfioPlatformDevice device(std::move(opened.device), TimerPlan());
  CHECK(fakes::Lines(board.kernel.log()) == "mmap ff120000.timer\neventfd\neventfd\neventfd\n");
  CHECK(device.name() == kTimerName);
  CHECK(device.mapped_bytes() == 0x1000);
}

TEST_CASE("mapped regions become memory slots, trapped ones devices of the bus") {
  Board board;
  board.AddTimer();
  OpenedDevice opened(board, kTimerName);
  VfioPlatformDevice device(std::move(opened.device), TimerPlan());
  LogBudget log;
  MmioBus bus(log);
  Vm vm(opened.kvm, 40);
  board.kernel.ClearLog();
  device.AddRegions(vm, bus);
  CHECK(board.kernel.log() ==
        std::vector<std::string>{"KVM_SET_USER_MEMORY_REGION 0x14010000+0x1000"});
  std::array<std::byte, 4> data{std::byte{0x78}, std::byte{0x56}};
  bus.Write({0x1400'0010}, data);
  data = {};
  bus.Read({0x1400'0010}, data);
  CHECK(LoadRegister(data) == 0x5678);
  CHECK(device.trapped().reads == 1);
  CHECK(device.trapped().writes == 1);
  CHECK(device.trapped().denied_reads == 0);
  CHECK(device.trapped().denied_writes == 0);
  CHECK(bus.refused() == 0);
}

TEST_CASE("what a window denies reads as zero and takes no write, and the device sees neither") {
  Board board;
  board.AddTimer();
  OpenedDevice opened(board, kTimerName);
  PlannedDevice plan = TimerPlan();
  plan.regions[0].windows = {{0, 0x10, WindowAccess::kAllow},
                             {0x10, 4, WindowAccess::kReadOnly},
                             {0x14, 0xec, WindowAccess::kDeny}};
  VfioPlatformDevice device(std::move(opened.device), plan);
  LogBudget log;
  MmioBus bus(log);
  Vm vm(opened.kvm, 40);
  device.AddRegions(vm, bus);
  board.kernel.ClearLog();
  std::array<std::byte, 4> data{std::byte{0x78}};
  bus.Write({0x1400'000c}, data);
  bus.Write({0x1400'0010}, data);
  bus.Write({0x1400'0014}, data);
  CHECK(fakes::Lines(board.kernel.log()) == "pwrite\n");
  bus.Read({0x1400'000c}, data);
  CHECK(LoadRegister(data) == 0x78);
  data.fill(std::byte{0xff});
  bus.Read({0x1400'0010}, data);
  CHECK(LoadRegister(data) == 0);  // as the device has it: the write did not come through
  data.fill(std::byte{0xff});
  board.kernel.ClearLog();
  bus.Read({0x1400'0014}, data);
  CHECK(LoadRegister(data) == 0);
  CHECK(board.kernel.log().empty());
  CHECK(device.trapped().reads == 3);
  CHECK(device.trapped().writes == 3);
  CHECK(device.trapped().denied_reads == 1);
  CHECK(device.trapped().denied_writes == 2);
  CHECK(bus.refused() == 0);
}

TEST_CASE("registers of one width take no access of another") {
  Board board;
  board.AddTimer();
  OpenedDevice opened(board, kTimerName);
  PlannedDevice plan = TimerPlan();
  plan.access_bytes = 4;
  VfioPlatformDevice device(std::move(opened.device), plan);
  LogBudget log;
  MmioBus bus(log);
  Vm vm(opened.kvm, 40);
  device.AddRegions(vm, bus);
  board.kernel.ClearLog();
  std::array<std::byte, 4> word{std::byte{0x78}};
  std::array<std::byte, 2> half{};
  bus.Write({0x1400'0010}, half);
  bus.Read({0x1400'0010}, half);
  CHECK(board.kernel.log().empty());
  CHECK(bus.refused() == 2);
  bus.Write({0x1400'0010}, word);
  bus.Read({0x1400'0010}, word);
  CHECK(fakes::Lines(board.kernel.log()) == "pwrite\npread\n");
  CHECK(bus.refused() == 2);
}

TEST_CASE("pages of a mapped region may be trapped; they reach the registers behind them") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  PlannedDevice plan = CanPlan();
  plan.regions[0].trapped_pages = {{0x2000, 0x1000}};
  plan.regions[0].windows = {{0, 0x2004, WindowAccess::kAllow},
                             {0x2004, 4, WindowAccess::kDeny},
                             {0x2008, 0x3ff8, WindowAccess::kAllow}};
  const MemoryMapping registers = opened.device->MapRegion(0, 0, 0x6000);
  VfioPlatformDevice device(std::move(opened.device), plan);
  CHECK(device.mapped_bytes() == 0x5000);
  LogBudget log;
  MmioBus bus(log);
  Vm vm(opened.kvm, 40);
  board.kernel.ClearLog();
  device.AddRegions(vm, bus);
  CHECK(fakes::Lines(board.kernel.log()) ==
        "KVM_SET_USER_MEMORY_REGION 0x14000000+0x2000\n"
        "KVM_SET_USER_MEMORY_REGION 0x14003000+0x3000\n");
  const std::array<std::byte, 4> data{std::byte{0x12}};
  bus.Write({0x1400'2000}, data);
  bus.Write({0x1400'2004}, data);
  bus.Write({0x1400'2ffc}, data);
  CHECK(registers.bytes()[0x2000] == std::byte{0x12});
  CHECK(registers.bytes()[0x2004] == std::byte{0});
  CHECK(registers.bytes()[0x2ffc] == std::byte{0x12});
  // An access across the border of the part is no register's.
  std::array<std::byte, 8> across{};
  bus.Read({0x1400'2ffc}, across);
  CHECK(bus.refused() == 1);
}

TEST_CASE("an access that the host's device does not take is refused, not passed on half") {
  Board board;
  board.AddTimer();
  OpenedDevice opened(board, kTimerName);
  VfioPlatformDevice device(std::move(opened.device), TimerPlan());
  LogBudget log;
  MmioBus bus(log);
  Vm vm(opened.kvm, 40);
  device.AddRegions(vm, bus);
  board.kernel.FailMatching("pread", EIO);
  board.kernel.FailMatching("pwrite", EIO);
  std::array<std::byte, 2> data{};
  bus.Read({0x1400'0000}, data);
  CHECK(LoadRegister(data) == 0xffff);
  bus.Write({0x1400'0000}, data);
  CHECK(bus.refused() == 2);
}

TEST_CASE("a region may be read-only or write-only") {
  for (const bool readable : {true, false}) {
    Board board;
    board.AddTimer();
    board.kernel.host.devices[0].regions[0].readable = readable;
    board.kernel.host.devices[0].regions[0].writable = !readable;
    OpenedDevice opened(board, kTimerName);
    VfioPlatformDevice device(std::move(opened.device), TimerPlan());
    LogBudget log;
    MmioBus bus(log);
    Vm vm(opened.kvm, 40);
    device.AddRegions(vm, bus);
    std::array<std::byte, 4> data{};
    bus.Read({0x1400'0000}, data);
    bus.Write({0x1400'0000}, data);
    CHECK(bus.refused() == 1);
    CHECK(LoadRegister(data) == (readable ? 0 : 0xffff'ffff));
  }
}

TEST_CASE("a device without a reset is left as it is, one with is reset") {
  Board board;
  board.AddCan();
  board.AddTimer();
  OpenedDevice timer(board, kTimerName);
  VfioPlatformDevice without(std::move(timer.device), TimerPlan());
  without.Reset();
  CHECK_FALSE(Contains(fakes::Lines(board.kernel.log()), "VFIO_DEVICE_RESET"));
  OpenedDevice can(board);
  VfioPlatformDevice with(std::move(can.device), CanPlan());
  with.Reset();
  CHECK(board.kernel.log().back() == "VFIO_DEVICE_RESET");
}

TEST_CASE("a recipe runs even if the kernel's reset fails, which is an error all the same") {
  Board board;
  board.AddCan();
  OpenedDevice can(board);
  PlannedDevice plan = CanPlan();
  plan.reset.recipe = {{.action = ResetStep::Action::kWrite, .offset = 8, .value = 5}};
  VfioPlatformDevice device(std::move(can.device), plan);
  board.kernel.FailMatching("VFIO_DEVICE_RESET", EIO);
  CHECK(Contains(ChainOf([&] { device.Reset(); }), "VFIO_DEVICE_RESET"));
  CHECK(board.kernel.log().back() != "VFIO_DEVICE_RESET");
}

TEST_CASE("a diverted interrupt signals another eventfd than the one KVM injects for") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  VfioPlatformDevice device(std::move(opened.device), CanPlan());
  const Fd diverted = MakeEventFd(board.kernel);
  device.DivertInterrupt(0, diverted);
  const auto armed = device.ArmInterrupts(opened.vm);
  CHECK(armed.size() == 1);
  board.kernel.RaiseInterrupt(kCanName, 0);
  CHECK(Signals(diverted) == 1);
  CHECK(Signals(device.kvm_trigger(0)) == 0);
}

TEST_CASE("what an earlier boot did not take of an interrupt is not the next boot's") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  const Fd diverted = MakeEventFd(board.kernel);
  VfioPlatformDevice device(std::move(opened.device), CanPlan());
  device.DivertInterrupt(0, diverted);
  for (const Fd* eventfd : std::array{&diverted, &device.kvm_trigger(0)}) {
    const std::uint64_t one = 1;
    REQUIRE(::write(eventfd->get(), &one, sizeof(one)) == sizeof(one));
  }
  const auto armed = device.ArmInterrupts(opened.vm);
  CHECK(Signals(diverted) == 0);
  CHECK(Signals(device.kvm_trigger(0)) == 0);
}

}  // namespace
}  // namespace microvm
