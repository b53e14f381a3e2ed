// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mmio_transport.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <deque>
#include <thread>
#include <vector>

#include "tests/devices/virtio_guest.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::kVirtqWrite;
using fakes::VirtioGuest;
using fakes::VirtioRam;

constexpr std::uint64_t kPlain = VirtioGuest::kVersion1;
constexpr std::uint64_t kBuffer = VirtioRam::kStart + 0x10000;

// Handles requests as the test says.
class ScriptedDevice final : public VirtioDevice {
 public:
  [[nodiscard]] const VirtioProfile& profile() const override { return profile_; }
  void Start(std::uint64_t features) noexcept override { started_with = features; }
  Handled Handle(std::uint16_t queue, DescriptorChain& chain) noexcept override {
    ++handled;
    if (how == Handled::How::kLater) in_flight.push_back({queue, chain.head(), 7});
    return {how, 3};
  }
  std::optional<EndedRequest> NextEnded(bool wait) noexcept override {
    if (wait) ++waits;
    if (in_flight.empty() || (!may_end && ++looks < looks_until_end)) return std::nullopt;
    const EndedRequest ended = in_flight.front();
    in_flight.pop_front();
    return ended;
  }
  [[nodiscard]] bool IsBusy() const noexcept override { return !in_flight.empty(); }
  void Cancel() noexcept override { ++cancels; }
  void Forget(std::uint16_t queue) noexcept override { forgotten.push_back(queue); }
  [[nodiscard]] VirtioTraffic traffic() const noexcept override { return {}; }

  Handled::How how = Handled::How::kDone;
  std::atomic<bool> may_end = false;
  unsigned looks = 0;
  unsigned looks_until_end = UINT_MAX;
  unsigned waits = 0;
  unsigned cancels = 0;
  std::deque<EndedRequest> in_flight;
  std::vector<std::uint16_t> forgotten;
  unsigned handled = 0;
  std::uint64_t started_with = 0;

 private:
  std::array<std::byte, 12> config_ = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  VirtioProfile profile_{.id = VirtioId::kBlock, .features = 0x60, .queues = 2, .config = config_};
};

// A device whose first queue is served, with one descriptor to be made available.
struct Served {
  explicit Served(std::uint64_t features = kPlain) {
    queue.Describe(0, {kBuffer, 16, kVirtqWrite, 0});
    guest.Start(queue, features);
    VirtioGuest::Take(guest.notification);
    guest.transport.OnNotified();
    device.forgotten.clear();
  }
  void Request(unsigned count = 1) {
    for (unsigned number = 0; number < count; ++number) queue.MakeAvailable(0);
    guest.transport.OnNotified();
  }

  ScriptedDevice device;
  VirtioGuest guest{device};
  DriverQueue queue{guest.memory, VirtioRam::kStart, 128};
};

TEST_CASE("the registers say what the device is, and have their reset values") {
  ScriptedDevice device;
  VirtioGuest guest(device);
  CHECK(guest.Read(0x000) == 0x74726976);
  CHECK(guest.Read(0x004) == 2);
  CHECK(guest.Read(0x008) == 2);
  CHECK(guest.Status() == 0);
  CHECK(guest.Read(0x060) == 0);
  CHECK(guest.Read(0x0fc) == 0);
  CHECK(guest.Offered() == (kPlain | VirtioGuest::kIndirect | VirtioGuest::kEventIndex | 0x60));
  guest.Write(0x14, 2);
  CHECK(guest.Read(0x10) == 0);
  for (const std::uint32_t queue : {0U, 1U, 2U, UINT32_MAX}) {
    guest.Write(0x30, queue);
    CHECK(guest.Read(0x34) == (queue < 2 ? 256 : 0));
    CHECK(guest.Read(0x44) == 0);
  }
  CHECK(guest.Read(0x0b0) == UINT32_MAX);  // no shared memory
}

TEST_CASE("registers are written whole; others are not there") {
  ScriptedDevice device;
  VirtioGuest guest(device);
  CHECK(guest.Write(0x70, 1, 1) == MmioResult::kBadAccess);
  CHECK(guest.Write(0x70, 1, 8) == MmioResult::kBadAccess);
  CHECK(guest.Write(0x00, 1) == MmioResult::kBadAccess);
  CHECK(guest.Write(0x3c, 1) == MmioResult::kBadAccess);
  CHECK(guest.Write(0x100, 1) == MmioResult::kBadAccess);
  CHECK(guest.Write(0xffc, 1) == MmioResult::kBadAccess);
  CHECK(guest.Status() == 0);
  CHECK(guest.Read(0x00) == 0x74726976);
}

TEST_CASE("what registers read as is in the memory that the guest has there") {
  ScriptedDevice device;
  VirtioGuest guest(device);
  std::array<std::byte, 8> data{};
  for (const std::size_t width : {1U, 2U, 4U, 8U}) {
    CHECK(guest.transport.Read(0x100, std::span(data).first(width)) == MmioResult::kOk);
    CHECK(data[0] == std::byte{1});
  }
  CHECK(data[3] == std::byte{4});
  CHECK(std::ranges::equal(data, std::span(guest.registers).subspan(0x100, 8)));
  guest.Write(0x70, VirtioGuest::kAcknowledge);
  CHECK(guest.registers[0x70] == std::byte{VirtioGuest::kAcknowledge});
  CHECK(guest.transport.Read(0xff8, data) == MmioResult::kOk);
  CHECK(guest.transport.Read(0xffc, data) == MmioResult::kBadAccess);
  CHECK(guest.transport.Read(UINT64_MAX - 3, data) == MmioResult::kBadAccess);
}

TEST_CASE("features are agreed on only if they were offered, VIRTIO_F_VERSION_1 among them") {
  ScriptedDevice device;
  VirtioGuest guest(device);
  CHECK_FALSE(guest.Agree(0));
  CHECK_FALSE(guest.Agree(kPlain | 0x80));
  CHECK_FALSE(guest.Agree(kPlain | std::uint64_t{1} << 63));
  CHECK(guest.Agree(kPlain | 0x20 | VirtioGuest::kEventIndex));
  // And not changed afterwards.
  guest.Write(0x24, 0);
  guest.Write(0x20, 0x40);
  guest.Go();
  CHECK(device.started_with == 0x20);
}

TEST_CASE("status bits are set one by one, and cleared together") {
  ScriptedDevice device;
  VirtioGuest guest(device);
  guest.Write(0x70, 3);
  guest.Write(0x70, 1);
  CHECK(guest.Status() == 3);
  guest.Write(0x70, 0xffffff00);
  CHECK(guest.Status() == 3);
  guest.Write(0x70, 64);  // the device's own
  CHECK(guest.Status() == 3);
  guest.Write(0x70, 128);
  CHECK(guest.Status() == 131);
  guest.Write(0x70, 0);
  CHECK(guest.Status() == 0);
}

TEST_CASE("a driver that goes on without features agreed on has to reset the device") {
  ScriptedDevice device;
  VirtioGuest guest(device);
  guest.Write(0x70, 7);
  CHECK((guest.Status() & VirtioGuest::kNeedsReset) != 0);
}

TEST_CASE("a queue is set up once features are agreed on, where there can be one") {
  ScriptedDevice device;
  VirtioGuest guest(device);
  const DriverQueue queue(guest.memory, VirtioRam::kStart);
  CHECK_FALSE(guest.SetUp(0, queue.layout));
  CHECK(guest.Agree(kPlain));
  CHECK(guest.SetUp(0, queue.layout));
  CHECK_FALSE(guest.SetUp(2, queue.layout));
  CHECK(guest.Status() == 11);
  QueueLayout outside = queue.layout;
  outside.used = {0};
  CHECK_FALSE(guest.SetUp(1, outside));
  CHECK((guest.Status() & VirtioGuest::kNeedsReset) != 0);
  CHECK(VirtioGuest::Take(guest.interrupt) == 0);  // the driver has not started it
}

TEST_CASE("a driver that goes on where a reset is needed starts nothing") {
  ScriptedDevice device;
  VirtioGuest guest(device);
  DriverQueue queue(guest.memory, VirtioRam::kStart);
  queue.Describe(0, {kBuffer, 16, kVirtqWrite, 0});
  queue.MakeAvailable(0);
  CHECK(guest.Agree(kPlain));
  CHECK(guest.SetUp(0, queue.layout));
  QueueLayout outside = queue.layout;
  outside.used = {0};
  CHECK_FALSE(guest.SetUp(1, outside));
  guest.Go();
  guest.transport.OnNotified();
  CHECK(device.handled == 0);
  CHECK(VirtioGuest::Take(guest.notification) == 0);
}

TEST_CASE("a queue that is ready does not move") {
  Served served;
  QueueLayout elsewhere = served.queue.layout;
  elsewhere.available = {VirtioRam::kStart + 0x8000};
  CHECK(served.guest.SetUp(0, elsewhere));
  served.Request();
  CHECK(served.device.handled == 1);
}

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
  queue.Describe(0, {kBuffer, 16, kVirtqWrite, 0});
  queue.MakeAvailable(0);
  guest.Agree(kPlain);
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
  again.Describe(0, {kBuffer, 16, kVirtqWrite, 0});
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
  served.queue.Describe(0, {kBuffer, 16, kVirtqWrite, 0});
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
  Served served(kPlain | VirtioGuest::kEventIndex);
  served.queue.SetUsedEvent(1);
  served.Request();
  CHECK(VirtioGuest::Take(served.guest.interrupt) == 0);
  served.Request();
  CHECK(VirtioGuest::Take(served.guest.interrupt) == 1);
  CHECK(served.queue.AvailableEvent() == 2);
}

}  // namespace
}  // namespace microvm
