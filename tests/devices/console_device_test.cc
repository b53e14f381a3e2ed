// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/console_device.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/devices/recording_device.h"
#include "tests/devices/virtio_guest.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::kVirtqNext;
using fakes::kVirtqWrite;
using fakes::RecordingHost;
using fakes::VirtioGuest;
using fakes::VirtioRam;

constexpr std::uint64_t kInput = VirtioRam::kStart + 0x10000;
constexpr std::uint64_t kOutput = VirtioRam::kStart + 0x20000;
constexpr std::size_t kBuffered = 4096;  // that the device takes before its reader does

// A driver with both queues, of 16 entries.
struct Console {
  Console() { Start(); }
  void Start() {
    guest.Agree(VirtioGuest::kVersion1);
    guest.SetUp(0, receive.layout);
    guest.SetUp(1, transmit.layout);
    guest.Go();
  }
  // A buffer of the guest's for input.
  void Offer(std::uint16_t index, std::uint32_t length) {
    receive.Describe(index, {kInput + 0x100ULL * index, length, kVirtqWrite, 0});
    receive.MakeAvailable(index);
    guest.transport.OnNotified();
  }
  std::string Received(std::uint16_t index, std::size_t length) {
    return guest.memory.ReadText(kInput + 0x100ULL * index, length);
  }
  void Send(std::uint16_t index, const std::string& text) {
    const std::uint64_t at = kOutput + 0x2000ULL * index;
    guest.memory.WriteText(at, text);
    transmit.Describe(index, {at, static_cast<std::uint32_t>(text.size()), 0, 0});
    transmit.MakeAvailable(index);
    guest.transport.OnNotified();
  }
  std::string Transmitted(std::size_t limit) {
    std::vector<std::uint8_t> out(limit);
    out.resize(device.TakeTransmitted(out));
    return {out.begin(), out.end()};
  }
  std::size_t Receive(const std::string& text) {
    return device.Receive({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  }
  // What the loop does when the device has signalled that requests have ended; how often it has.
  std::uint64_t TakeEnded() {
    const std::uint64_t times = VirtioGuest::Take(ended);
    if (times > 0) guest.transport.OnEnded();
    return times;
  }
  [[nodiscard]] bool NeedsReset() { return (guest.Status() & VirtioGuest::kNeedsReset) != 0; }

  LinuxKernel kernel;
  Fd ended = MakeEventFd(kernel);
  RecordingHost host;
  ConsoleDevice device{host, ended};
  VirtioGuest guest{device};
  DriverQueue receive{guest.memory, VirtioRam::kStart, 16};
  DriverQueue transmit{guest.memory, VirtioRam::kStart + 0x4000, 16};
};

TEST_CASE("a console has one port's queues, emergency writes, and no indirect descriptors") {
  Console console;
  CHECK(console.guest.Read(0x008) == 3);
  CHECK(console.guest.Offered() == (VirtioGuest::kVersion1 | VirtioGuest::kEventIndex | 4));
  for (const std::uint32_t queue : {0U, 1U, 2U}) {
    console.guest.Write(0x30, queue);
    CHECK(console.guest.Read(0x34) == (queue < 2 ? 256 : 0));
  }
}

TEST_CASE("what the guest sends is taken at once, and told to the host once until it has it all") {
  Console console;
  console.Send(0, "one ");
  CHECK(console.transmit.UsedIndex() == 1);
  CHECK(console.transmit.UsedEntry(0).length == 0);
  console.Send(1, "two");
  CHECK(console.transmit.UsedIndex() == 2);
  CHECK(console.host.transmit == 1);
  CHECK(console.Transmitted(5) == "one t");
  CHECK(console.Transmitted(5) == "wo");
  CHECK(console.Transmitted(5).empty());
  console.Send(2, "x");
  CHECK(console.host.transmit == 2);
  CHECK(console.device.traffic().bytes_written == 8);
}

TEST_CASE("a chain of several buffers is sent as one, in their order") {
  Console console;
  console.guest.memory.WriteText(kOutput, "abcdef");
  console.transmit.Describe(0, {kOutput, 2, kVirtqNext, 1});
  console.transmit.Describe(1, {kOutput + 2, 1, kVirtqNext, 2});
  console.transmit.Describe(2, {kOutput + 3, 3, 0, 0});
  console.transmit.MakeAvailable(0);
  console.guest.transport.OnNotified();
  CHECK(console.Transmitted(100) == "abcdef");
  CHECK(console.transmit.UsedIndex() == 1);
}

TEST_CASE("what a slow reader has no room for stays with the guest, and nothing is lost") {
  Console console;
  const std::string first(kBuffered - 1, 'a');
  const std::string second = "bc" + std::string(kBuffered, 'd');
  console.Send(0, first);
  console.Send(1, second);
  console.Send(2, "e");
  CHECK(console.transmit.UsedIndex() == 1);
  std::string output = console.Transmitted(10);
  CHECK(console.TakeEnded() == 1);
  CHECK(console.transmit.UsedIndex() == 1);
  output += console.Transmitted(kBuffered);
  console.TakeEnded();
  CHECK(console.transmit.UsedIndex() == 3);
  while (true) {
    const std::string more = console.Transmitted(1000);
    if (more.empty()) break;
    output += more;
  }
  CHECK(output == first + second + "e");
  CHECK(console.host.transmit == 1);
  CHECK(console.guest.transport.counts().requests == 3);
}

TEST_CASE("one take gives as much as it has room for, over what the guest still holds") {
  Console console;
  console.Send(0, std::string(kBuffered, 'a'));
  console.Send(1, std::string(100, 'b'));
  CHECK(console.Transmitted(2 * kBuffered).size() == kBuffered + 100);
  console.TakeEnded();
  CHECK(console.transmit.UsedIndex() == 2);
}

TEST_CASE("input fills the guest's buffers, each with what there is, and interrupts") {
  Console console;
  console.Offer(0, 16);
  console.Offer(1, 4);
  console.Offer(2, 16);
  CHECK(console.receive.UsedIndex() == 0);
  CHECK(console.Receive("hello") == 5);
  CHECK(console.TakeEnded() == 1);
  CHECK(console.receive.UsedIndex() == 1);
  CHECK(console.receive.UsedEntry(0).length == 5);
  CHECK(console.Received(0, 5) == "hello");
  CHECK(VirtioGuest::Take(console.guest.interrupt) == 1);
  CHECK(console.Receive("longer") == 6);
  console.TakeEnded();
  CHECK(console.receive.UsedIndex() == 3);
  CHECK(console.receive.UsedEntry(1).length == 4);
  CHECK(console.Received(1, 4) == "long");
  CHECK(console.receive.UsedEntry(2).length == 2);
  CHECK(console.Received(2, 2) == "er");
  CHECK(console.device.traffic().bytes_read == 11);
}

TEST_CASE("a chain of several buffers takes input that ends where one of them does") {
  Console console;
  console.receive.Describe(0, {kInput, 4, kVirtqNext | kVirtqWrite, 1});
  console.receive.Describe(1, {kInput + 0x100, 4, kVirtqWrite, 0});
  console.receive.MakeAvailable(0);
  console.guest.transport.OnNotified();
  CHECK(console.Receive("four") == 4);
  console.TakeEnded();
  CHECK(console.receive.UsedIndex() == 1);
  CHECK(console.receive.UsedEntry(0).length == 4);
}

TEST_CASE("input that the guest has no buffers for stays with its sender until there are some") {
  Console console;
  CHECK(console.Receive("early") == 0);
  CHECK(console.TakeEnded() == 0);
  CHECK(console.host.receive == 0);
  console.Offer(0, 3);
  CHECK(console.host.receive == 1);
  CHECK(console.Receive("early") == 3);
  console.Offer(1, 16);
  CHECK(console.host.receive == 2);
  CHECK(console.Receive("ly") == 2);
  console.Offer(2, 16);
  CHECK(console.host.receive == 2);  // nothing was left over
}

TEST_CASE("an emergency write is a byte without a driver, and lost where there is no room") {
  Console console;
  console.guest.Write(0x70, 0);
  for (const char byte : {'p', 'a', 'n', 'i', 'c'}) {
    CHECK(console.guest.Write(0x108, static_cast<std::uint8_t>(byte)) == MmioResult::kOk);
  }
  CHECK(console.guest.Write(0x104, 'x') == MmioResult::kBadAccess);
  CHECK(console.guest.Write(0x108, 'x', 1) == MmioResult::kBadAccess);
  CHECK(console.host.transmit == 1);
  CHECK(console.Transmitted(10) == "panic");
  for (std::size_t count = 0; count < kBuffered + 10; ++count) console.guest.Write(0x108, 'y');
  CHECK(console.Transmitted(2 * kBuffered) == std::string(kBuffered, 'y'));
}

TEST_CASE("buffers of the wrong direction stop the device") {
  Console readable;
  readable.receive.Describe(0, {kInput, 4, 0, 0});
  readable.receive.MakeAvailable(0);
  readable.guest.transport.OnNotified();
  CHECK(readable.NeedsReset());
  Console writable;
  writable.transmit.Describe(0, {kOutput, 4, kVirtqWrite, 0});
  writable.transmit.MakeAvailable(0);
  writable.guest.transport.OnNotified();
  CHECK(writable.NeedsReset());
}

TEST_CASE("a request of nothing is done at once") {
  Console console;
  console.transmit.Describe(0, {kOutput, 0, 0, 0});
  console.transmit.MakeAvailable(0);
  console.Offer(0, 0);
  CHECK(console.transmit.UsedIndex() == 1);
  CHECK(console.receive.UsedIndex() == 1);
  CHECK_FALSE(console.NeedsReset());
}

TEST_CASE("chains that share more buffers than a queue has stop the device") {
  Console console;
  console.Send(15, std::string(kBuffered, 'x'));  // its reader is slow
  // Of 16 descriptors each: 17 of them have more than there can be.
  for (std::uint16_t index = 0; index < 16; ++index) {
    const bool is_last = index == 15;
    console.transmit.Describe(index, {kOutput, 1, is_last ? std::uint16_t{0} : kVirtqNext,
                                      static_cast<std::uint16_t>(index + 1)});
  }
  for (int chain = 0; chain < 16; ++chain) console.transmit.MakeAvailable(0);
  console.guest.transport.OnNotified();
  CHECK_FALSE(console.NeedsReset());
  DriverQueue large(console.guest.memory, VirtioRam::kStart + 0x8000, 256);
  console.guest.Agree(VirtioGuest::kVersion1);
  console.guest.SetUp(1, large.layout);
  console.guest.Go();
  for (std::uint16_t index = 0; index < 200; ++index) {
    large.Describe(index, {kOutput, 1, index == 199 ? std::uint16_t{0} : kVirtqNext,
                           static_cast<std::uint16_t>(index + 1)});
  }
  large.MakeAvailable(0);
  large.MakeAvailable(0);
  console.guest.transport.OnNotified();
  CHECK(console.NeedsReset());
}

TEST_CASE("a reset forgets buffers and what waits in them; what was taken is kept") {
  Console console;
  console.Offer(0, 16);
  console.Send(0, std::string(kBuffered, 'a'));
  console.Send(1, "never acknowledged");
  console.guest.Write(0x70, 0);
  CHECK(console.Receive("text") == 0);
  CHECK(console.Received(0, 4) == std::string(4, '\0'));
  CHECK(console.Transmitted(2 * kBuffered) == std::string(kBuffered, 'a'));
  console.TakeEnded();
  CHECK(console.transmit.UsedIndex() == 1);
  // And the device goes on.
  DriverQueue again(console.guest.memory, VirtioRam::kStart + 0x8000, 16);
  console.guest.Start(again);
  again.Describe(1, {kInput, 16, kVirtqWrite, 0});
  again.MakeAvailable(1);
  console.guest.transport.OnNotified();
  CHECK(console.host.receive == 1);
  CHECK(console.Receive("text") == 4);
}

TEST_CASE("a queue that is taken back is forgotten, the other is not") {
  Console console;
  console.Offer(0, 16);
  console.guest.Write(0x30, 1);
  console.guest.Write(0x44, 0);
  CHECK(console.Receive("text") == 4);
  console.TakeEnded();
  CHECK(console.receive.UsedIndex() == 1);
  console.Offer(1, 16);
  console.guest.Write(0x30, 0);
  console.guest.Write(0x44, 0);
  CHECK(console.Receive("text") == 0);
}

TEST_CASE("input that was taken when the queue is taken back does not come out of another") {
  Console console;
  console.Offer(0, 16);
  CHECK(console.Receive("text") == 4);
  console.guest.Write(0x70, 0);  // before the loop has looked
  console.Start();
  console.guest.transport.OnEnded();
  CHECK(console.receive.UsedIndex() == 0);
}

}  // namespace
}  // namespace microvm
