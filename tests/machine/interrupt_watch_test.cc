// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/interrupt_watch.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "tests/fakes/exceptions.h"
#include "tests/vfio/opened_device.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;
using fakes::kCanName;
using fakes::kTimerName;

std::uint64_t Signals(const Fd& eventfd) {
  std::uint64_t count = 0;
  return ::read(eventfd.get(), &count, sizeof(count)) == sizeof(count) ? count : 0;
}

PlannedDevice CanPlan() {
  PlannedDevice plan{};
  plan.host = kCanName;
  plan.regions = {{AddressRange({0x1400'0000}, 0x6000), true}};
  plan.interrupts = {{Spi{1}, Trigger::kLevel, 0, false, 53U}};
  return plan;
}

// The CAN controller, armed, under watch; nothing takes what its trigger signals, as KVM would.
class Watched {
 public:
  explicit Watched(const PlannedDevice& plan = CanPlan()) {
    board.AddCan();
    opened.emplace(board);
    devices.push_back(std::make_unique<VfioPlatformDevice>(std::move(opened->device), plan));
    armed = devices[0]->ArmInterrupts(opened->vm);
    watch.emplace(board.kernel, board.sysfs, devices);
    SetCount(0);
    board.kernel.ClearLog();
  }

  void SetCount(std::uint64_t interrupts) {
    board.host.SetInterrupts("     CPU0\n 35:  " + std::to_string(interrupts) +
                             "  GICv3  53 Level  vfio-irq[35](ff070000.canfd)\n");
  }
  // The device interrupts once; what it signals is taken, as KVM does.
  void Interrupt() {
    board.kernel.RaiseInterrupt(kCanName, 0);
    board.kernel.LowerInterrupt(kCanName, 0);
    CHECK(Signals(devices[0]->kvm_trigger(0)) == 1);
    SetCount(++count);
  }
  void Look() {
    watch->Look([this](Spi spi) {
      CHECK(spi == Spi{1});
      ++stops;
      if (fails) throw Error("no state");
      return state;
    });
  }
  // Whether the device's interrupt arrives.
  bool IsHeard() {
    board.kernel.RaiseInterrupt(kCanName, 0);
    return Signals(devices[0]->kvm_trigger(0)) == 1;
  }

  Board board;
  std::optional<fakes::OpenedDevice> opened;
  std::vector<std::unique_ptr<VfioPlatformDevice>> devices;
  std::vector<std::unique_ptr<ArmedInterrupt>> armed;
  std::optional<InterruptWatch> watch;
  SpiState state;
  bool fails = false;
  unsigned stops = 0;
  std::uint64_t count = 0;
};

TEST_CASE("a line that is masked although the guest has done with it is unmasked, and said so") {
  Watched watched;
  const fakes::CapturedStream errors(STDERR_FILENO);
  watched.Interrupt();
  watched.Look();  // the count has moved
  CHECK(watched.board.kernel.log().empty());
  watched.Look();
  CHECK(watched.stops == 1);
  CHECK(watched.watch->rearmed(0) == 1);
  CHECK(errors.text() ==
        "microvm: ff070000.canfd: interrupt 0 (SPI 1) was still masked on the host after the guest "
        "had done with it, and is unmasked: host interrupts 1, unmasked so 1\n");
  CHECK(watched.IsHeard());
}

TEST_CASE("a guest that takes a level for an edge is told of") {
  Watched watched;
  const fakes::CapturedStream errors(STDERR_FILENO);
  watched.state.trigger = Trigger::kEdge;
  watched.Interrupt();
  watched.Look();
  watched.Look();
  CHECK(Contains(errors.text(), "; the guest takes this level for an edge"));
}

TEST_CASE("a line that is quiet because the device is costs four calls, once, and no stop") {
  Watched watched;
  watched.Interrupt();
  watched.devices[0]->Unmask(0);  // as the guest's end of interrupt does
  watched.board.kernel.ClearLog();
  for (int look = 0; look < 10; ++look) watched.Look();
  CHECK(fakes::Lines(watched.board.kernel.log()) ==
        "VFIO_DEVICE_SET_IRQS 0 trigger eventfd\n"
        "VFIO_DEVICE_SET_IRQS 0 trigger\n"
        "VFIO_DEVICE_SET_IRQS 0 trigger eventfd\n"
        "VFIO_DEVICE_SET_IRQS 0 unmask\n");
  CHECK(watched.stops == 0);
  CHECK(watched.watch->rearmed(0) == 0);
  CHECK(Signals(watched.devices[0]->kvm_trigger(0)) == 0);  // the guest saw nothing of it
  CHECK(watched.IsHeard());
}

TEST_CASE("a line that the guest has pending or active stays masked") {
  for (const bool pending : {true, false}) {
    Watched watched;
    watched.state = {.pending = pending, .active = !pending};
    watched.Interrupt();
    for (int look = 0; look < 4; ++look) watched.Look();
    CHECK(watched.stops == 2);  // at the second look and the fourth
    CHECK(watched.watch->rearmed(0) == 0);
    CHECK_FALSE(watched.IsHeard());
  }
}

TEST_CASE("a line that interrupts between probe and answer is not stuck") {
  Watched watched;
  watched.Interrupt();
  watched.Look();
  watched.watch->Look([&](Spi) {
    watched.devices[0]->Unmask(0);
    watched.Interrupt();
    return SpiState{};
  });
  CHECK(watched.watch->rearmed(0) == 0);
}

TEST_CASE("a guest that gets stuck for ever fills no log, and all of it is counted") {
  Watched watched;
  const fakes::CapturedStream errors(STDERR_FILENO);
  for (int round = 0; round < 20; ++round) {
    watched.Interrupt();
    watched.Look();
    watched.Look();
  }
  CHECK(watched.watch->rearmed(0) == 20);
  const std::string text = errors.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 8);
  CHECK(Contains(text, "unmasked so 8; further ones are only counted\n"));
}

TEST_CASE("what cannot be asked is logged, and ends the watch of the line, not the machine") {
  for (const bool by_kernel : {true, false}) {
    const fakes::CapturedStream errors(STDERR_FILENO);
    Watched watched;
    watched.fails = !by_kernel;
    watched.Interrupt();
    watched.Look();
    if (by_kernel) watched.board.kernel.FailMatching("VFIO_DEVICE_SET_IRQS 0 trigger", EIO);
    watched.Look();
    CHECK(Contains(errors.text(),
                   "microvm: ff070000.canfd: interrupt 0 cannot be watched any more\n"));
    const unsigned stops = watched.stops;
    watched.board.kernel.ClearLog();
    for (int look = 0; look < 5; ++look) watched.Look();
    CHECK(watched.stops == stops);
    CHECK(watched.board.kernel.log().empty());
  }
}

TEST_CASE("counts that cannot be read are logged, and looked at again the next time") {
  const fakes::CapturedStream errors(STDERR_FILENO);
  Watched watched;
  std::filesystem::remove(watched.board.host.root() / "proc/interrupts");
  watched.Look();
  CHECK(Contains(errors.text(), "microvm: interrupts cannot be watched at present\n"));
  watched.Interrupt();
  watched.Look();
  watched.Look();
  CHECK(watched.watch->rearmed(0) == 1);
}

TEST_CASE("edges, lines listed again and lines that the tree does not tell are not watched") {
  PlannedDevice plan = CanPlan();
  const auto is_empty = [](const PlannedInterrupt& interrupt) {
    PlannedDevice changed = CanPlan();
    changed.interrupts = {interrupt};
    const Watched watched(changed);
    return watched.watch->empty();
  };
  CHECK_FALSE(is_empty(plan.interrupts[0]));
  CHECK(is_empty({Spi{1}, Trigger::kEdge, 0, false, 53U}));
  CHECK(is_empty({Spi{1}, Trigger::kLevel, 0, true, 53U}));
  CHECK(is_empty({Spi{1}, Trigger::kLevel, 0, false, std::nullopt}));
}

}  // namespace
}  // namespace microvm
