// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/split_queue.h"

#include <doctest/doctest.h>

#include "tests/devices/virtio_guest.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::kVirtqIndirect;
using fakes::kVirtqNext;
using fakes::kVirtqWrite;
using fakes::VirtioRam;
using Next = SplitQueue::Next;

constexpr std::uint64_t kBuffers = VirtioRam::kStart + 0x10000;
constexpr std::uint64_t kEnd = VirtioRam::kStart + VirtioRam::kBytes;

// Both ends of a queue of 8 entries.
struct QueuePair {
  explicit QueuePair(const QueueFeatures& features = {.indirect = true}) {
    REQUIRE(device.Start(memory.ram, driver.layout, features));
  }
  Next Take() { return device.Take(chain); }
  // A chain of one descriptor, made available.
  Next TakeOne(const fakes::VirtqDescriptor& descriptor) {
    driver.Describe(0, descriptor);
    driver.MakeAvailable(0);
    return Take();
  }

  VirtioRam memory;
  DriverQueue driver{memory, VirtioRam::kStart};
  SplitQueue device;
  DescriptorChain chain;
};

TEST_CASE("a chain is what the driver wrote, then what the device is to write") {
  QueuePair queue;
  CHECK(queue.Take() == Next::kNothing);
  queue.driver.Describe(3, {kBuffers, 16, kVirtqNext, 5});
  queue.driver.Describe(5, {kBuffers + 0x100, 32, kVirtqNext | kVirtqWrite, 1});
  queue.driver.Describe(1, {kEnd - 1, 1, kVirtqWrite, 0});
  queue.driver.MakeAvailable(3);
  REQUIRE(queue.Take() == Next::kChain);
  CHECK(queue.chain.head() == 3);
  const auto readable = queue.chain.Readable();
  const auto writable = queue.chain.Writable();
  REQUIRE(readable.pieces().size() == 1);
  CHECK(readable.pieces()[0].iov_base == queue.memory.At(kBuffers));
  CHECK(readable.size_bytes() == 16);
  REQUIRE(writable.pieces().size() == 2);
  CHECK(writable.pieces()[1].iov_base == queue.memory.At(kEnd - 1));
  CHECK(writable.size_bytes() == 33);
  CHECK(queue.Take() == Next::kNothing);
}

TEST_CASE("an indirect descriptor stands for a table anywhere in RAM") {
  QueuePair queue;
  constexpr std::uint64_t kTable = kBuffers + 3;  // no alignment is asked for
  queue.memory.Write(kTable, fakes::VirtqDescriptor{kBuffers + 0x1000, 512, kVirtqNext, 2});
  queue.memory.Write(kTable + 32, fakes::VirtqDescriptor{kBuffers + 0x2000, 1, kVirtqWrite, 0});
  queue.driver.Describe(0, {kBuffers + 0x3000, 8, kVirtqNext, 4});
  queue.driver.Describe(4, {kTable, 48, kVirtqIndirect, 0});
  queue.driver.MakeAvailable(0);
  REQUIRE(queue.Take() == Next::kChain);
  CHECK(queue.chain.Readable().size_bytes() == 520);
  CHECK(queue.chain.Writable().size_bytes() == 1);
}

TEST_CASE("a descriptor without bytes is none") {
  QueuePair queue;
  CHECK(queue.TakeOne({0, 0, kVirtqWrite, 0}) == Next::kChain);
  CHECK(queue.chain.Writable().pieces().empty());
}

TEST_CASE("a buffer outside RAM, in part or by an end that wraps, breaks the queue") {
  for (const auto& [address, length] :
       std::initializer_list<std::pair<std::uint64_t, std::uint32_t>>{
           {0, 1},
           {VirtioRam::kStart - 1, 2},
           {kEnd - 1, 2},
           {kEnd, 1},
           {UINT64_MAX, 2},
           {UINT64_MAX - 15, 32},
           {VirtioRam::kStart, UINT32_MAX}}) {
    QueuePair queue;
    CHECK(queue.TakeOne({address, length, 0, 0}) == Next::kBroken);
  }
}

TEST_CASE("a chain that leads nowhere, or in a circle, breaks the queue") {
  QueuePair nowhere;
  CHECK(nowhere.TakeOne({kBuffers, 1, kVirtqNext, 8}) == Next::kBroken);
  QueuePair itself;
  CHECK(itself.TakeOne({kBuffers, 1, kVirtqNext, 0}) == Next::kBroken);
  QueuePair circle;
  for (std::uint16_t index = 0; index < 8; ++index) {
    circle.driver.Describe(index,
                           {kBuffers, 1, kVirtqNext, static_cast<std::uint16_t>((index + 1) % 8)});
  }
  circle.driver.MakeAvailable(2);
  CHECK(circle.Take() == Next::kBroken);
}

TEST_CASE("a chain of all descriptors is a chain") {
  QueuePair queue;
  for (std::uint16_t index = 0; index < 8; ++index) {
    const std::uint16_t next = index < 7 ? kVirtqNext : 0;
    queue.driver.Describe(index, {kBuffers, 1, next, static_cast<std::uint16_t>(index + 1)});
  }
  queue.driver.MakeAvailable(0);
  CHECK(queue.Take() == Next::kChain);
  CHECK(queue.chain.Readable().pieces().size() == 8);
}

TEST_CASE("a head that is no descriptor breaks the queue") {
  QueuePair queue;
  queue.driver.MakeAvailable(8);
  CHECK(queue.Take() == Next::kBroken);
}

TEST_CASE("a buffer to read behind one to write breaks the queue") {
  QueuePair queue;
  queue.driver.Describe(0, {kBuffers, 1, kVirtqNext | kVirtqWrite, 1});
  queue.driver.Describe(1, {kBuffers, 1, 0, 0});
  queue.driver.MakeAvailable(0);
  CHECK(queue.Take() == Next::kBroken);
}

TEST_CASE("an indirect table that may not be, breaks the queue") {
  QueuePair unagreed{QueueFeatures{}};
  CHECK(unagreed.TakeOne({kBuffers, 16, kVirtqIndirect, 0}) == Next::kBroken);
  QueuePair nested;
  nested.memory.Write(kBuffers, fakes::VirtqDescriptor{kBuffers, 16, kVirtqIndirect, 0});
  CHECK(nested.TakeOne({kBuffers, 16, kVirtqIndirect, 0}) == Next::kBroken);
  QueuePair circle;
  circle.memory.Write(kBuffers, fakes::VirtqDescriptor{kBuffers, 16, kVirtqNext, 0});
  CHECK(circle.TakeOne({kBuffers, 16, kVirtqIndirect, 0}) == Next::kBroken);
  QueuePair followed;
  CHECK(followed.TakeOne({kBuffers, 16, kVirtqIndirect | kVirtqNext, 1}) == Next::kBroken);
  for (const std::uint32_t length : {0U, 8U, 24U, 257U * 16, UINT32_MAX}) {
    CAPTURE(length);
    QueuePair queue;
    CHECK(queue.TakeOne({kBuffers, length, kVirtqIndirect, 0}) == Next::kBroken);
  }
  QueuePair outside;
  CHECK(outside.TakeOne({kEnd - 8, 16, kVirtqIndirect, 0}) == Next::kBroken);
}

TEST_CASE("a chain has at most 4 GiB, and 256 buffers") {
  std::byte some{};
  DescriptorChain chain;
  chain.Begin(0);
  const std::span<std::byte> half(&some, std::size_t{1} << 31);  // looked at by nobody
  CHECK(chain.Add(half, false));
  CHECK(chain.Add(half.first(half.size() - 1), false));
  CHECK_FALSE(chain.Add({&some, 1}, false));
  chain.Begin(0);
  for (int count = 0; count < 256; ++count) CHECK(chain.Add({&some, 1}, true));
  CHECK_FALSE(chain.Add({&some, 1}, true));
}

TEST_CASE("more chains than the queue has entries break it") {
  QueuePair ahead;
  ahead.driver.SetAvailableIndex(9);
  CHECK(ahead.Take() == Next::kBroken);
  QueuePair out;
  out.driver.Describe(0, {kBuffers, 1, kVirtqWrite, 0});
  for (int count = 0; count < 8; ++count) {
    out.driver.MakeAvailable(0);
    CHECK(out.Take() == Next::kChain);
  }
  CHECK(out.Take() == Next::kNothing);
  out.driver.MakeAvailable(0);
  CHECK(out.Take() == Next::kBroken);
  out.device.GiveBack(0, 1);
  CHECK(out.Take() == Next::kChain);
}

TEST_CASE("what was given back is shown at once, in its order, over the wrap of the indexes") {
  QueuePair queue;
  queue.driver.Describe(2, {kBuffers, 1, kVirtqWrite, 0});
  for (std::uint32_t count = 0; count < 70'000; ++count) {
    queue.driver.MakeAvailable(2);
    REQUIRE(queue.Take() == Next::kChain);
    queue.device.GiveBack(2, count);
    REQUIRE(queue.driver.UsedIndex() == static_cast<std::uint16_t>(count));
    REQUIRE(queue.device.Publish());
    const auto used = queue.driver.UsedEntry(static_cast<std::uint16_t>(count));
    REQUIRE(queue.driver.UsedIndex() == static_cast<std::uint16_t>(count + 1));
    REQUIRE(used.id == 2);
    REQUIRE(used.length == count);
  }
  CHECK_FALSE(queue.device.Publish());  // nothing new
}

TEST_CASE("without event indexes flags say whether to interrupt and to notify") {
  QueuePair queue;
  queue.device.IgnoreNotifications();
  CHECK(queue.driver.UsedFlags() == 1);
  CHECK_FALSE(queue.device.AwaitNotification());
  CHECK(queue.driver.UsedFlags() == 0);
  queue.driver.SetAvailableFlags(1);
  CHECK(queue.TakeOne({kBuffers, 1, kVirtqWrite, 0}) == Next::kChain);
  queue.device.GiveBack(0, 0);
  CHECK_FALSE(queue.device.Publish());
  CHECK(queue.driver.UsedIndex() == 1);
}

TEST_CASE("with event indexes the driver is interrupted when its entry is passed") {
  QueuePair queue{QueueFeatures{.event_index = true}};
  queue.driver.Describe(0, {kBuffers, 1, kVirtqWrite, 0});
  for (int count = 0; count < 4; ++count) {
    queue.driver.MakeAvailable(0);
    REQUIRE(queue.Take() == Next::kChain);
  }
  queue.driver.SetUsedEvent(2);  // at the third
  queue.device.GiveBack(0, 0);
  queue.device.GiveBack(0, 0);
  CHECK_FALSE(queue.device.Publish());
  queue.device.GiveBack(0, 0);
  CHECK(queue.device.Publish());
  queue.device.GiveBack(0, 0);
  CHECK_FALSE(queue.device.Publish());
}

TEST_CASE("with event indexes a notification is asked for at the next entry, and only then") {
  QueuePair queue{QueueFeatures{.event_index = true}};
  CHECK(queue.TakeOne({kBuffers, 1, kVirtqWrite, 0}) == Next::kChain);
  queue.device.IgnoreNotifications();
  CHECK(queue.driver.AvailableEvent() == 0);
  CHECK_FALSE(queue.device.AwaitNotification());
  CHECK(queue.driver.AvailableEvent() == 1);
  queue.driver.MakeAvailable(0);
  CHECK(queue.device.AwaitNotification());  // it came before the driver could know
}

TEST_CASE("a queue of an impossible size or place does not start") {
  VirtioRam memory;
  SplitQueue queue;
  const QueueLayout good = DriverQueue(memory, VirtioRam::kStart).layout;
  const auto starts = [&](const QueueLayout& layout) {
    queue.Stop();
    CHECK_FALSE(queue.running());
    return queue.Start(memory.ram, layout, {});
  };
  CHECK(starts(good));
  CHECK(queue.running());
  for (const unsigned size : {0U, 3U, 6U, 512U, 65535U}) {
    QueueLayout layout = good;
    layout.size = static_cast<std::uint16_t>(size);
    CHECK_FALSE(starts(layout));
  }
  for (GuestAddress QueueLayout::*part :
       {&QueueLayout::descriptors, &QueueLayout::available, &QueueLayout::used}) {
    for (const std::uint64_t address : {VirtioRam::kStart + 1, VirtioRam::kStart - 16, kEnd - 16,
                                        std::uint64_t{0}, UINT64_MAX - 15}) {
      QueueLayout layout = good;
      layout.*part = {address};
      CHECK_FALSE(starts(layout));
    }
  }
}

TEST_CASE("bytes are taken from and put into pieces wherever they are divided") {
  std::array<std::byte, 6> memory{};
  for (std::size_t at = 0; at < memory.size(); ++at) memory[at] = static_cast<std::byte>(at);
  std::array<iovec, 3> pieces = {iovec{&memory[0], 1}, iovec{&memory[1], 3}, iovec{&memory[4], 2}};
  ScatterList list(pieces);
  std::array<std::byte, 2> first{};
  CHECK(list.TakeFirst(first));
  CHECK(first[1] == std::byte{1});
  CHECK(list.TakeLast() == &memory[5]);
  CHECK(list.size_bytes() == 3);
  std::array<std::byte, 4> more{};
  CHECK_FALSE(list.TakeFirst(more));
  CHECK(list.size_bytes() == 3);
  more.fill(std::byte{9});
  CHECK(list.PutFirst(more) == 3);
  CHECK(memory[2] == std::byte{9});
  CHECK(memory[4] == std::byte{9});
  CHECK(memory[5] == std::byte{5});
  CHECK(list.TakeLast() == nullptr);
}

}  // namespace
}  // namespace microvm
