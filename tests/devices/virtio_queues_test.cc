// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/virtio_queues.h"

#include <doctest/doctest.h>

#include <thread>

#include "tests/devices/scripted_device.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::kVirtqWrite;
using fakes::ScriptedDevice;
using fakes::Served;
using fakes::VirtioGuest;
using fakes::VirtioRam;

constexpr std::uint64_t kOrdinary = VirtioGuest::kVersion1;
constexpr std::uint64_t kData = Served::kPlace;

TEST_CASE("requests are served when the driver is ready and has notified") {
  Served served;
  served.Request(3);
  CHECK(served.device.handled == 3);
  CHECK(served.queue.UsedIndex() == 3);
  CHECK(served.queue.UsedEntry(2).length == 3);
  // One interrupt for all of them.
  CHECK(VirtioGuest::Take(served.guest.interrupt) == 1);
  const VirtioCounts counts = served.guest.transport.counts();
  CHECK(counts.requests == 3);
  CHECK(counts.interrupts == 1);
  CHECK(counts.notifications == 2);
}

TEST_CASE(
    "used buffers are the reason of every interrupt, that a reset is needed until it is "
    "acknowledged") {
  Served served;
  VirtioGuest& guest = served.guest;
  CHECK(guest.Read(0x60) == 1);
  CHECK(guest.Write(0x64, 1) == MmioResult::kOk);
  CHECK(guest.Read(0x60) == 1);
  served.queue.Describe(0, {0, 16, kVirtqWrite, 0});
  served.Request();
  CHECK(guest.Read(0x60) == 3);
  guest.Write(0x64, 1);
  CHECK(guest.Read(0x60) == 3);
  guest.Write(0x64, 2);
  CHECK(guest.Read(0x60) == 1);
  guest.Write(0x70, 0);
  CHECK(guest.Read(0x60) == 0);
}

TEST_CASE("before DRIVER_OK nothing is served; what waits then is served") {
  ScriptedDevice device;
  VirtioGuest guest(device);
  DriverQueue queue(guest.memory, VirtioRam::kStart);
  queue.Describe(0, {kData, 16, kVirtqWrite, 0});
  queue.MakeAvailable(0);
  guest.Agree(kOrdinary);
  guest.SetUp(0, queue.layout);
  guest.transport.OnNotified();
  CHECK(device.handled == 0);
  guest.Go();
  CHECK(VirtioGuest::Take(guest.notification) == 1);
  guest.transport.OnNotified();
  CHECK(device.handled == 1);
}

TEST_CASE("a trapped notification wakes the loop") {
  Served served;
  CHECK(served.guest.Write(0x50, 0) == MmioResult::kOk);
  CHECK(served.guest.Write(0x50, 12345) == MmioResult::kOk);
  CHECK(VirtioGuest::Take(served.guest.notification) == 2);
}

TEST_CASE("the loop does a share of a long queue, and calls itself for the rest") {
  Served served;
  served.Request(100);
  CHECK(served.device.handled == 64);
  CHECK(served.queue.UsedIndex() == 64);
  CHECK(VirtioGuest::Take(served.guest.notification) == 1);
  served.guest.transport.OnNotified();
  CHECK(served.device.handled == 100);
  CHECK(VirtioGuest::Take(served.guest.notification) == 0);
}

TEST_CASE("requests that end later are given back when they do") {
  Served served;
  served.device.how = Handled::How::kLater;
  served.Request(2);
  CHECK(served.queue.UsedIndex() == 0);
  CHECK(VirtioGuest::Take(served.guest.interrupt) == 0);
  served.device.may_end = true;
  served.guest.transport.OnEnded();
  CHECK(served.queue.UsedIndex() == 2);
  CHECK(served.queue.UsedEntry(0).length == 7);
  CHECK(VirtioGuest::Take(served.guest.interrupt) == 1);
  CHECK(served.guest.transport.counts().requests == 2);
}

TEST_CASE("a reset waits for what is in flight, and forgets the rest") {
  Served served;
  served.device.how = Handled::How::kLater;
  served.Request(2);
  served.device.looks = 0;
  served.device.looks_until_end = 4;
  served.guest.Write(0x70, 0);
  CHECK(served.device.in_flight.empty());
  CHECK(served.device.cancels == 1);
  CHECK(served.device.forgotten == std::vector<std::uint16_t>{0, 1});
  CHECK(served.guest.Status() == 0);
  CHECK(served.guest.Read(0x44) == 0);
  CHECK(served.guest.Read(0x60) == 0);
  served.queue.MakeAvailable(0);
  served.guest.transport.OnNotified();
  served.guest.transport.OnEnded();
  CHECK(served.device.handled == 2);
  // And it can be started again.
  DriverQueue again(served.guest.memory, VirtioRam::kStart + 0x4000);
  again.Describe(0, {kData, 16, kVirtqWrite, 0});
  served.device.how = Handled::How::kDone;
  served.guest.Start(again);
  again.MakeAvailable(0);
  served.guest.transport.OnNotified();
  CHECK(again.UsedIndex() == 1);
}

TEST_CASE("a queue that is taken back waits for what is in flight, too") {
  Served served;
  served.device.how = Handled::How::kLater;
  served.Request();
  served.device.may_end = true;
  VirtioGuest::Take(served.guest.notification);
  served.guest.Write(0x44, 0);
  CHECK(served.guest.Read(0x44) == 0);
  CHECK(served.device.in_flight.empty());
  CHECK(VirtioGuest::Take(served.guest.notification) == 1);  // other queues may have waited
  CHECK(served.device.cancels == 0);                         // their requests go on
  CHECK(served.device.forgotten == std::vector<std::uint16_t>{0});
  served.queue.MakeAvailable(0);
  served.guest.transport.OnNotified();
  CHECK(served.device.handled == 1);
}

// A vCPU that writes, and waits.
class WaitingVcpu {
 public:
  WaitingVcpu(VirtioGuest& guest, std::uint64_t offset)
      : guest_(guest), thread_([this, offset] { guest_.Write(offset, 0); }) {
    while (!guest_.transport.IsAwaited()) std::this_thread::yield();
  }
  void Join() { thread_.join(); }

 private:
  VirtioGuest& guest_;
  std::thread thread_;
};

TEST_CASE("while a vCPU waits for a host that does not answer, the loop and other vCPUs go on") {
  for (const std::uint64_t written : {0x70U, 0x44U}) {
    Served served;
    served.device.how = Handled::How::kLater;
    served.Request();
    WaitingVcpu vcpu(served.guest, written);
    CHECK(served.guest.transport.IsBusy());
    CHECK(served.guest.Status() == 15);
    CHECK(served.guest.Read(0x44) == 1);
    CHECK(served.guest.Write(0x14, 1) == MmioResult::kOk);
    // Nothing is begun meanwhile.
    served.queue.MakeAvailable(0);
    served.guest.transport.OnNotified();
    CHECK(served.device.handled == 1);
    served.device.may_end = true;
    served.guest.transport.OnEnded();
    vcpu.Join();
    CHECK(served.device.in_flight.empty());
    CHECK(served.guest.Read(0x44) == 0);
    CHECK(served.device.waits == 0);
  }
}

TEST_CASE("a vCPU that waits is released, and the driver keeps what it wanted to take back") {
  for (const std::uint64_t written : {0x70U, 0x44U}) {
    Served served;
    served.device.how = Handled::How::kLater;
    served.Request();
    WaitingVcpu vcpu(served.guest, written);
    served.guest.transport.Release();
    vcpu.Join();
    CHECK(served.device.in_flight.size() == 1);
    CHECK(served.guest.Status() == 15);
    CHECK(served.guest.Read(0x44) == 1);
    CHECK(served.device.forgotten.empty());
  }
}

TEST_CASE("without a guest a reset says whether the host still has requests") {
  Served served;
  served.device.how = Handled::How::kLater;
  served.Request();
  served.guest.transport.Release();
  // What the driver has put there is not begun any more.
  served.queue.MakeAvailable(0);
  served.guest.transport.OnNotified();
  CHECK(served.device.handled == 1);
  CHECK_FALSE(served.guest.transport.Reset());
  CHECK(served.device.waits == 1);
  CHECK(served.device.cancels == 1);
  CHECK(served.guest.Status() == 0);
  served.device.may_end = true;
  CHECK(served.guest.transport.Reset());
  // It is as new: the next guest's vCPUs wait again.
  served.device.may_end = false;
  served.guest.Start(served.queue);
  served.Request();
  WaitingVcpu vcpu(served.guest, 0x70);
  served.device.may_end = true;
  vcpu.Join();
  CHECK(served.guest.Status() == 0);
}

TEST_CASE("a queue that breaks the rules stops the device until it is reset") {
  Served served;
  served.queue.Describe(0, {0, 16, kVirtqWrite, 0});
  served.Request();
  CHECK((served.guest.Status() & VirtioGuest::kNeedsReset) != 0);
  CHECK(VirtioGuest::Take(served.guest.interrupt) == 1);
  served.queue.Describe(0, {kData, 16, kVirtqWrite, 0});
  served.Request();
  CHECK(served.device.handled == 0);
  CHECK(VirtioGuest::Take(served.guest.interrupt) == 0);
  CHECK(served.guest.transport.counts().failures == 1);
  DriverQueue again(served.guest.memory, VirtioRam::kStart);
  served.guest.Start(again);
  CHECK((served.guest.Status() & VirtioGuest::kNeedsReset) == 0);
  again.MakeAvailable(0);
  served.guest.transport.OnNotified();
  CHECK(served.device.handled == 1);
}

TEST_CASE("what is no request of the device stops it, too") {
  Served served;
  served.device.how = Handled::How::kMalformed;
  served.Request();
  CHECK((served.guest.Status() & VirtioGuest::kNeedsReset) != 0);
  CHECK(served.queue.UsedIndex() == 0);
}

TEST_CASE("with event indexes the driver is interrupted only where it asked for it") {
  Served served(kOrdinary | VirtioGuest::kEventIndex);
  served.queue.SetUsedEvent(1);
  served.Request();
  CHECK(VirtioGuest::Take(served.guest.interrupt) == 0);
  served.Request();
  CHECK(VirtioGuest::Take(served.guest.interrupt) == 1);
  CHECK(served.queue.AvailableEvent() == 2);
}

}  // namespace
}  // namespace microvm
