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
  Source() { guest.Start(queue); }
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

}  // namespace
}  // namespace microvm
