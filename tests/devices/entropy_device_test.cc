// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/entropy_device.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/devices/virtio_guest.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::kVirtqWrite;
using fakes::VirtioGuest;
using fakes::VirtioRam;

constexpr std::uint64_t kEntropyRoom = VirtioRam::kStart + 0x10000;

struct Source {
  explicit Source(Fd awaited = Fd()) : device(std::move(awaited)) { guest.Start(queue); }
  // The bytes that a request of so many got.
  std::string Get(std::uint32_t length, std::uint16_t flags = kVirtqWrite) {
    queue.Describe(0, {kEntropyRoom, length, flags, 0});
    queue.MakeAvailable(0);
    guest.transport.OnNotified();
    return guest.memory.ReadText(kEntropyRoom, queue.UsedEntry(requests++).length);
  }

  EntropyDevice device;
  VirtioGuest guest{device};
  DriverQueue queue{guest.memory, VirtioRam::kStart};
  std::uint16_t requests = 0;
};

TEST_CASE("entropy fills what the driver gives, differently each time") {
  Source source;
  const std::string one = source.Get(64);
  const std::string other = source.Get(64);
  CHECK(one.size() == 64);
  CHECK(one != other);
  CHECK(std::count(one.begin(), one.end(), '\0') < 32);
  CHECK(source.device.traffic().bytes_read == 128);
}

TEST_CASE("a request for much gets a bounded part of it") {
  Source source;
  CHECK(source.Get(1U << 16).size() == EntropyDevice::kRequestBytes);
  CHECK(source.guest.memory.Read<std::uint64_t>(kEntropyRoom + EntropyDevice::kRequestBytes) == 0);
}

TEST_CASE("a request without room gets nothing, and is given back") {
  Source source;
  CHECK(source.Get(64, 0).empty());
  CHECK(source.queue.UsedIndex() == 1);
}

TEST_CASE("requests to a host without entropy wait, and get some when it has") {
  LinuxKernel kernel;
  Source source(MakeEventFd(kernel));
  REQUIRE(source.device.inputs().size() == 1);
  for (std::uint16_t entry = 0; entry < 8; ++entry) {
    source.queue.Describe(entry, {kEntropyRoom + 64ULL * entry, 64, kVirtqWrite, 0});
    source.queue.MakeAvailable(entry);
  }
  source.guest.transport.OnNotified();
  CHECK(source.queue.UsedIndex() == 0);
  CHECK(source.guest.transport.AwaitedInputs() == 1);
  source.guest.transport.OnInput(0);
  CHECK(source.queue.UsedIndex() == 8);
  for (std::uint16_t entry = 0; entry < 8; ++entry) {
    CHECK(source.queue.UsedEntry(entry).length == 64);
    CHECK(source.guest.memory.ReadText(kEntropyRoom + 64ULL * entry, 64) != std::string(64, '\0'));
  }
  CHECK(source.guest.transport.AwaitedInputs() == 0);
}

TEST_CASE("requests that wait for entropy are forgotten with a reset") {
  LinuxKernel kernel;
  Source source(MakeEventFd(kernel));
  source.queue.Describe(0, {kEntropyRoom, 64, kVirtqWrite, 0});
  source.queue.MakeAvailable(0);
  source.guest.transport.OnNotified();
  source.guest.Write(0x70, 0);
  source.guest.transport.OnInput(0);
  CHECK(source.queue.UsedIndex() == 0);
  CHECK(source.guest.memory.ReadText(kEntropyRoom, 64) == std::string(64, '\0'));
}

}  // namespace
}  // namespace microvm
