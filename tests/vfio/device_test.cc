// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/device.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>

#include "tests/fakes/exceptions.h"
#include "tests/vfio/opened_device.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::ChainOf;
using fakes::Contains;
using fakes::OpenedDevice;

TEST_CASE("a device's regions and interrupts are what VFIO tells") {
  Board board;
  board.AddTimer();
  const OpenedDevice opened(board, fakes::kTimerName);
  const VfioDevice& device = *opened.device;
  REQUIRE(device.regions().size() == 2);
  CHECK(device.regions()[0].size_bytes == 0x100);
  CHECK_FALSE(device.regions()[0].mappable);
  CHECK(device.regions()[0].readable);
  CHECK(device.regions()[0].writable);
  CHECK(device.regions()[1].offset == 1ULL << 40);
  CHECK(device.regions()[1].mappable);
  REQUIRE(device.interrupts().size() == 2);
  CHECK_FALSE(device.interrupts()[0].automasked);
  CHECK(device.interrupts()[1].automasked);
  CHECK_FALSE(device.can_reset());
}

TEST_CASE("a failure names the region or interrupt it is about") {
  for (const auto& [call, text] : std::vector<std::pair<std::string, std::string>>{
           {"VFIO_DEVICE_GET_INFO", "VFIO_DEVICE_GET_INFO: Input/output error\n"},
           {"VFIO_DEVICE_GET_REGION_INFO",
            "region 0\n  VFIO_DEVICE_GET_REGION_INFO: Input/output error\n"},
           {"VFIO_DEVICE_GET_IRQ_INFO",
            "interrupt 0\n  VFIO_DEVICE_GET_IRQ_INFO: Input/output error\n"}}) {
    Board board;
    board.AddCan();
    board.kernel.FailMatching(call, EIO);
    CHECK(ChainOf([&] { OpenedDevice opened(board); }) == text);
    CHECK(board.kernel.Live().empty());
  }
}

TEST_CASE("a region without a size is refused") {
  Board board;
  board.AddCan();
  board.kernel.host.devices[0].regions[0].size_bytes = 0;
  CHECK(ChainOf([&] { OpenedDevice opened(board); }) ==
        "region 0\n  VFIO reports a size of zero\n");
}

TEST_CASE("a region is mapped for reading and writing, at its own memory") {
  Board board;
  board.AddTimer();
  OpenedDevice opened(board, fakes::kTimerName);
  const MemoryMapping mapping = opened.device->MapRegion(1, 0, 0x1000);
  CHECK(mapping.bytes().size() == 0x1000);
  mapping.bytes()[5] = std::byte{7};
  const MemoryMapping again = opened.device->MapRegion(1, 0, 0x1000);
  CHECK(again.bytes()[5] == std::byte{7});
  CHECK(ChainOf([&] { return opened.device->MapRegion(0, 0, 0x100); }) ==
        "region 0\n  mmap: Invalid argument\n");
}

TEST_CASE("a device is reset by its ioctl") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  CHECK(opened.device->can_reset());
  opened.device->Reset();
  CHECK(board.kernel.log() == std::vector<std::string>{"VFIO_DEVICE_RESET"});
}

TEST_CASE("each step of an interrupt is the request that VFIO expects") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  const Fd eventfd = MakeEventFd(board.kernel);
  board.kernel.ClearLog();
  opened.device->SetTrigger(0, eventfd);
  opened.device->SetUnmaskEvent(0, eventfd);
  opened.device->Mask(0);
  opened.device->Unmask(0);
  opened.device->ClearUnmaskEvent(0);
  opened.device->ClearTrigger(0);
  CHECK(fakes::Lines(board.kernel.log()) ==
        "VFIO_DEVICE_SET_IRQS 0 trigger eventfd\n"
        "VFIO_DEVICE_SET_IRQS 0 unmask eventfd\n"
        "VFIO_DEVICE_SET_IRQS 0 mask\n"
        "VFIO_DEVICE_SET_IRQS 0 unmask\n"
        "VFIO_DEVICE_SET_IRQS 0 unmask no eventfd\n"
        "VFIO_DEVICE_SET_IRQS 0 trigger off\n");
}

TEST_CASE("an interrupt that somebody else has is known when the device is opened") {
  Board board;
  board.AddTimer();
  board.kernel.host.devices[0].irqs[1].line_error = EBUSY;
  const OpenedDevice opened(board, fakes::kTimerName);
  CHECK(opened.device->interrupts()[0].line_error == 0);
  CHECK(opened.device->interrupts()[1].line_error == EBUSY);
}

TEST_CASE("an interrupt that cannot be asked for is no interrupt that somebody else has") {
  Board board;
  board.AddCan();
  board.kernel.FailMatching("VFIO_DEVICE_SET_IRQS 0 trigger no eventfd", EIO);
  CHECK(ChainOf([&] { const OpenedDevice opened(board); }) ==
        "interrupt 0\n  VFIO_DEVICE_SET_IRQS (trigger): Input/output error\n");
}

TEST_CASE("an interrupt that somebody else has says who may know") {
  Board board;
  board.AddCan();
  board.kernel.host.devices[0].irqs[0].line_error = EBUSY;
  OpenedDevice opened(board);
  const Fd eventfd = MakeEventFd(board.kernel);
  const std::string complaint = ChainOf([&] { opened.device->SetTrigger(0, eventfd); });
  CHECK(Contains(complaint, "interrupt 0 is taken: a driver of the host, or another interrupt"));
  CHECK(Contains(complaint, "  VFIO_DEVICE_SET_IRQS (trigger): Device or resource busy\n"));
  CHECK(Contains(complaint, "grep -n . /proc/interrupts"));
}

TEST_CASE("whether a level is masked is found without an interrupt lost or added") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  const Fd trigger = MakeEventFd(board.kernel);
  const Fd probe = MakeEventFd(board.kernel);
  VfioDevice& device = *opened.device;
  const auto signals = [](const Fd& eventfd) {
    std::uint64_t count = 0;
    return ::read(eventfd.get(), &count, sizeof(count)) > 0 ? count : 0;
  };
  device.SetTrigger(0, trigger);
  CHECK_FALSE(device.IsMasked(0, trigger, probe));
  CHECK(signals(trigger) == 0);
  board.kernel.RaiseInterrupt(fakes::kCanName, 0);  // which masks it
  CHECK(signals(trigger) == 1);
  CHECK(device.IsMasked(0, trigger, probe));
  CHECK(device.IsMasked(0, trigger, probe));  // it stays so
  CHECK(signals(trigger) == 0);
  device.Unmask(0);  // the line is still high
  CHECK(signals(trigger) == 1);
  board.kernel.LowerInterrupt(fakes::kCanName, 0);
  device.Unmask(0);
  CHECK_FALSE(device.IsMasked(0, trigger, probe));
  device.Mask(0);
  CHECK(device.IsMasked(0, trigger, probe));
  CHECK(signals(trigger) == 0);
  CHECK(signals(probe) == 0);
}

TEST_CASE("a level that comes while it is probed comes to its trigger") {
  Board board;
  board.AddCan();
  OpenedDevice opened(board);
  const Fd trigger = MakeEventFd(board.kernel);
  const Fd probe = MakeEventFd(board.kernel);
  opened.device->SetTrigger(0, trigger);
  opened.device->Mask(0);
  board.kernel.RaiseInterrupt(fakes::kCanName, 0);  // waits
  opened.device->SetTrigger(0, probe);
  opened.device->Unmask(0);  // as the guest's end of interrupt might, in the middle of a probe
  std::uint64_t count = 0;
  CHECK(::read(trigger.get(), &count, sizeof(count)) < 0);
  CHECK_FALSE(opened.device->IsMasked(0, trigger, probe));
  CHECK(::read(trigger.get(), &count, sizeof(count)) == sizeof(count));
}

TEST_CASE("a failing step is named by its action") {
  Board board;
  board.AddTimer();
  OpenedDevice opened(board, fakes::kTimerName);
  CHECK(ChainOf([&] { opened.device->Mask(0); }) ==
        "interrupt 0\n  VFIO_DEVICE_SET_IRQS (mask): Invalid argument\n");
  CHECK(ChainOf([&] { opened.device->Unmask(0); }) ==
        "interrupt 0\n  VFIO_DEVICE_SET_IRQS (unmask): Invalid argument\n");
  CHECK(ChainOf([&] { opened.device->Unmask(9); }) ==
        "interrupt 9\n  VFIO_DEVICE_SET_IRQS (unmask): Invalid argument\n");
}

}  // namespace
}  // namespace microvm
