// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mmio_transport.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/devices/scripted_device.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::kVirtqWrite;
using fakes::ScriptedDevice;
using fakes::Served;
using fakes::VirtioGuest;
using fakes::VirtioRam;

constexpr std::uint64_t kPlain = VirtioGuest::kVersion1;
constexpr std::uint64_t kBuffer = Served::kPlace;

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

}  // namespace
}  // namespace microvm
