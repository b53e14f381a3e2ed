// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/gpio_device.h"

#include <doctest/doctest.h>

#include <deque>

#include "tests/devices/fake_line.h"
#include "tests/devices/virtio_guest.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::kVirtqNext;
using fakes::kVirtqWrite;
using fakes::VirtioGuest;
using fakes::VirtioRam;
using fakes::Wire;

constexpr std::uint64_t kRequestRing = VirtioRam::kStart;
constexpr std::uint64_t kEventRing = VirtioRam::kStart + 0x4000;
constexpr std::uint64_t kMessage = VirtioRam::kStart + 0x10000;
constexpr std::uint64_t kAnswer = VirtioRam::kStart + 0x10100;
constexpr std::uint64_t kUnmasks = VirtioRam::kStart + 0x11000;  // 16 bytes for each
constexpr std::uint8_t kUntouched = 0xee;

enum Type : std::uint16_t { kNames = 1, kGetDir, kSetDir, kGet, kSet, kIrq };
constexpr std::uint32_t kAsNothing = 0;
constexpr std::uint32_t kAsOutput = 1;
constexpr std::uint32_t kAsInput = 2;
constexpr std::uint32_t kRising = 1;
constexpr std::uint32_t kFalling = 2;
constexpr std::uint32_t kBoth = 3;
constexpr std::uint32_t kHigh = 4;
constexpr std::uint32_t kLow = 8;
constexpr int kRefused = -1;

// A driver of a device with lines of these kinds, and what is at the lines' other ends.
struct Controller {
  explicit Controller(const std::vector<GpioLineConfig>& lines = {{}, {}}, bool found_high = false,
                      std::uint64_t features = VirtioGuest::kVersion1 | 1) {
    std::vector<GpioDevice::Line> made;
    for (const GpioLineConfig& line : lines) {
      wires.push_back({.output = found_high, .high = found_high});
      made.push_back({fakes::MakePin(wires.back(), line), line.name});
    }
    device = std::make_unique<GpioDevice>(std::move(made));
    guest = std::make_unique<VirtioGuest>(*device);
    requests = std::make_unique<DriverQueue>(guest->memory, kRequestRing);
    events = std::make_unique<DriverQueue>(guest->memory, kEventRing);
    guest->Agree(features);
    guest->SetUp(0, requests->layout);
    guest->SetUp(1, events->layout);
    guest->Go();
  }

  // The status that a message gets; its answer is at kAnswer.
  int Send(std::uint16_t type, std::uint16_t line, std::uint32_t value = 0,
           std::uint32_t room = 2) {
    guest->memory.Write(
        kMessage, std::uint64_t{type} | std::uint64_t{line} << 16 | std::uint64_t{value} << 32);
    guest->memory.Write(kAnswer, kUntouched);
    requests->Describe(0, {kMessage, 8, kVirtqNext, 1});
    requests->Describe(1, {kAnswer, room, kVirtqWrite, 0});
    requests->MakeAvailable(0);
    guest->transport.OnNotified();
    return guest->memory.Read<std::uint8_t>(kAnswer);
  }
  // Its value, or that it was refused.
  int Ask(std::uint16_t type, std::uint16_t line) {
    return Send(type, line) == 0 ? guest->memory.Read<std::uint8_t>(kAnswer + 1) : kRefused;
  }
  // Puts the buffer there that unmasks a line's interrupt.
  void Unmask(std::uint16_t line, std::uint16_t buffer = 0) {
    const std::uint64_t at = kUnmasks + 16ULL * buffer;
    guest->memory.Write(at, line);
    guest->memory.Write(at + 8, kUntouched);
    const auto head = static_cast<std::uint16_t>(buffer * 2);
    events->Describe(head, {at, 2, kVirtqNext, static_cast<std::uint16_t>(head + 1)});
    events->Describe(static_cast<std::uint16_t>(head + 1), {at + 8, 1, kVirtqWrite, 0});
    events->MakeAvailable(head);
    guest->transport.OnNotified();
  }
  // The buffer's status, if it was given back.
  int Event(std::uint16_t buffer = 0) {
    const int status = guest->memory.Read<std::uint8_t>(kUnmasks + 16ULL * buffer + 8);
    return status == kUntouched ? kRefused : status;
  }
  // The other end pulls a line; the event loop sees that.
  void Pull(std::uint16_t line, bool high) {
    wires[line].Pull(high);
    if (wires[line].events.count == 0) return;
    device->EventsReady(line);
    guest->transport.OnEnded();
  }

  std::deque<Wire> wires;
  std::unique_ptr<GpioDevice> device;
  std::unique_ptr<VirtioGuest> guest;
  std::unique_ptr<DriverQueue> requests;
  std::unique_ptr<DriverQueue> events;
};

TEST_CASE("the configuration space says how many lines there are, and how long their names are") {
  Controller controller({{.name = "led"}, {}, {.name = "button"}});
  const auto config = controller.device->profile().config;
  REQUIRE(config.size() == 8);
  CHECK(config[0] == std::byte{3});
  CHECK(config[4] == std::byte{4 + 1 + 7});
  CHECK(controller.Send(kNames, 0, 0, 13) == 0);
  CHECK(controller.guest->memory.ReadText(kAnswer + 1, 12) == std::string("led\0\0button\0", 12));
  CHECK(controller.requests->UsedEntry(0).length == 13);
  CHECK(controller.Send(kNames, 0, 0, 12) == 1);  // no room for all of them
}

TEST_CASE("lines without names and interrupts have neither") {
  Controller controller({{.edges = GpioEdges::kNone}, {.direction = GpioDirection::kOut}}, false,
                        VirtioGuest::kVersion1);
  CHECK(controller.device->profile().config[4] == std::byte{0});
  CHECK(controller.device->profile().features == 0);
  CHECK(controller.device->profile().queues == 1);
  CHECK(controller.Send(kNames, 0) == 1);
}

TEST_CASE("nothing drives a line before the driver says so; then it has the value set before") {
  Controller controller;
  CHECK(controller.Ask(kGetDir, 0) == kAsInput);
  CHECK(controller.Send(kSet, 0, 1) == 0);
  CHECK_FALSE(controller.wires[0].output);
  CHECK_FALSE(controller.wires[0].high);
  CHECK(controller.Send(kSetDir, 0, kAsOutput) == 0);
  CHECK(controller.wires[0].output);
  CHECK(controller.wires[0].high);
  CHECK(controller.Ask(kGetDir, 0) == kAsOutput);
  CHECK(controller.Ask(kGet, 0) == 1);
  CHECK(controller.Send(kSet, 0, 0) == 0);
  CHECK_FALSE(controller.wires[0].high);
  CHECK_FALSE(controller.wires[1].output);
}

TEST_CASE("an output that was found keeps its value when it is made an output again") {
  Controller controller({{}}, true);
  CHECK(controller.Ask(kGetDir, 0) == kAsOutput);
  CHECK(controller.Send(kSetDir, 0, kAsOutput) == 0);
  CHECK(controller.wires[0].high);
}

TEST_CASE("an input is what the other end says") {
  Controller controller;
  CHECK(controller.Ask(kGet, 1) == 0);
  controller.wires[1].Pull(true);
  CHECK(controller.Ask(kGet, 1) == 1);
}

TEST_CASE("direction NONE discards what the driver made of a line") {
  Controller controller;
  controller.Send(kSet, 0, 1);
  controller.Send(kSetDir, 0, kAsOutput);
  CHECK(controller.Send(kSetDir, 0, kAsNothing) == 0);
  CHECK_FALSE(controller.wires[0].output);
  CHECK(controller.Send(kSetDir, 0, kAsOutput) == 0);
  CHECK_FALSE(controller.wires[0].high);
}

TEST_CASE("what the configuration denies is refused, and does not reach the line") {
  Controller controller({{.direction = GpioDirection::kIn, .edges = GpioEdges::kNone},
                         {.direction = GpioDirection::kOut, .edges = GpioEdges::kNone},
                         {.edges = GpioEdges::kRising}});
  CHECK(controller.Send(kSet, 0, 1) == 1);
  CHECK(controller.Send(kSetDir, 0, kAsOutput) == 1);
  CHECK(controller.Send(kIrq, 0, kRising) == 1);
  CHECK(controller.Send(kSetDir, 1, kAsInput) == 1);
  CHECK(controller.Send(kIrq, 1, kRising) == 1);
  for (const std::uint32_t type : {kFalling, kBoth, kLow})
    CHECK(controller.Send(kIrq, 2, type) == 1);
  CHECK(controller.wires[0].changes + controller.wires[1].changes + controller.wires[2].changes ==
        0);
  CHECK(controller.device->traffic().errors == 8);
  CHECK(controller.Send(kSetDir, 0, kAsInput) == 0);
  CHECK(controller.Send(kIrq, 2, kHigh) == 0);
}

TEST_CASE("requests that mean nothing are refused") {
  Controller controller;
  CHECK(controller.Send(0, 0) == 1);
  CHECK(controller.Send(7, 0) == 1);
  CHECK(controller.Send(kGet, 2) == 1);
  CHECK(controller.Send(kSet, 0, 2) == 1);
  CHECK(controller.Send(kSetDir, 0, 3) == 1);
  CHECK(controller.Send(kIrq, 0, 5) == 1);
  CHECK(controller.guest->Status() == 15);
}

TEST_CASE("a request that is too short, or has no room for its answer, breaks the device") {
  Controller controller;
  controller.Send(kGet, 0, 0, 1);
  CHECK((controller.guest->Status() & VirtioGuest::kNeedsReset) != 0);
}

TEST_CASE("what the host does not do is refused") {
  Controller controller;
  controller.wires[0].works = false;
  CHECK(controller.Ask(kGet, 0) == kRefused);
  CHECK(controller.Send(kSetDir, 0, kAsOutput) == 1);
  CHECK(controller.Ask(kGetDir, 0) == kAsInput);
}

TEST_CASE("an edge gives back the buffer of its line, once") {
  Controller controller;
  CHECK(controller.Send(kIrq, 0, kRising) == 0);
  controller.Unmask(0);
  CHECK(controller.Event() == kRefused);
  controller.Pull(0, true);
  CHECK(controller.Event() == 1);
  CHECK(controller.events->UsedIndex() == 1);
  CHECK(controller.events->UsedEntry(0).length == 1);
  controller.Pull(0, false);
  controller.Pull(1, true);
  CHECK(controller.events->UsedIndex() == 1);
}

TEST_CASE("edges that come while the interrupt is masked are latched as one") {
  Controller controller;
  controller.Send(kIrq, 0, kBoth);
  for (int count = 0; count < 100; ++count) controller.Pull(0, count % 2 == 0);
  controller.Unmask(0);
  CHECK(controller.Event() == 1);
  controller.Unmask(0, 1);
  CHECK(controller.Event(1) == kRefused);
  controller.Pull(0, true);
  CHECK(controller.Event(1) == 1);
}

TEST_CASE("a level is told as long as it lasts, and not when it is over") {
  Controller controller;
  controller.Send(kIrq, 0, kHigh);
  controller.Unmask(0);
  controller.Pull(0, true);
  CHECK(controller.Event() == 1);
  controller.Unmask(0, 1);
  CHECK(controller.Event(1) == 1);
  controller.Pull(0, false);
  controller.Unmask(0, 2);
  CHECK(controller.Event(2) == kRefused);
  controller.Send(kIrq, 1, kLow);
  controller.Unmask(1, 3);
  CHECK(controller.Event(3) == 1);
}

TEST_CASE("a disabled interrupt gives its buffer back as invalid, and forgets what was latched") {
  Controller controller;
  controller.Send(kIrq, 0, kRising);
  controller.Unmask(0);
  CHECK(controller.Send(kIrq, 0, kAsNothing) == 0);
  CHECK(controller.Event() == 0);
  CHECK(controller.wires[0].watched == GpioEdges::kNone);
  controller.Send(kIrq, 0, kRising);
  controller.Pull(0, true);
  controller.Send(kIrq, 0, kAsNothing);
  controller.Send(kIrq, 0, kRising);
  controller.Unmask(0, 1);
  CHECK(controller.Event(1) == kRefused);
}

TEST_CASE("a buffer of a line whose interrupt is denied is kept, not given back without end") {
  Controller controller({{.edges = GpioEdges::kNone}, {}});
  controller.Send(kIrq, 0, kRising);
  controller.Unmask(0);
  controller.Pull(0, true);
  CHECK(controller.Event() == kRefused);
  controller.Send(kIrq, 0, kAsNothing);
  CHECK(controller.Event() == 0);
}

TEST_CASE("a second buffer for a line, and one for none, are invalid") {
  Controller controller;
  controller.Send(kIrq, 0, kRising);
  controller.Unmask(0);
  controller.Unmask(0, 1);
  CHECK(controller.Event(1) == 0);
  controller.Unmask(9, 2);
  CHECK(controller.Event(2) == 0);
  controller.Pull(0, true);
  CHECK(controller.Event() == 1);
}

TEST_CASE("an output has no interrupt") {
  Controller controller;
  controller.Send(kIrq, 0, kRising);
  controller.Unmask(0);
  CHECK(controller.Send(kSetDir, 0, kAsOutput) == 0);
  CHECK(controller.Event() == 0);
  CHECK(controller.Send(kIrq, 0, kRising) == 1);
  CHECK(controller.Send(kSetDir, 0, kAsInput) == 0);
  CHECK(controller.Send(kIrq, 0, kRising) == 0);
  CHECK(controller.Send(kSetDir, 0, kAsInput) == 0);
  CHECK(controller.wires[0].watched == GpioEdges::kRising);
}

TEST_CASE("interrupts that were not agreed on are refused") {
  Controller controller({{}, {}}, false, VirtioGuest::kVersion1);
  CHECK(controller.Send(kIrq, 0, kRising) == 1);
}

TEST_CASE("a reset leaves the lines as they were found, and no buffer in the device's hands") {
  Controller controller;
  controller.Send(kSet, 0, 1);
  controller.Send(kSetDir, 0, kAsOutput);
  controller.Send(kIrq, 1, kRising);
  controller.Unmask(1);
  controller.guest->Write(0x70, 0);
  CHECK_FALSE(controller.wires[0].output);
  CHECK(controller.wires[1].watched == GpioEdges::kNone);
  controller.wires[1].events = {GpioEdges::kRising, 1, false};
  controller.device->EventsReady(1);
  controller.guest->transport.OnEnded();
  CHECK(controller.Event() == kRefused);
}

TEST_CASE("an output that was found is driven as before after a reset") {
  Controller controller({{}}, true);
  controller.Send(kSet, 0, 0);
  CHECK_FALSE(controller.wires[0].high);
  controller.guest->Write(0x70, 0);
  CHECK(controller.wires[0].output);
  CHECK(controller.wires[0].high);
}

TEST_CASE("an output that was found is not touched where the driver may not, or does not") {
  Controller controller({{.direction = GpioDirection::kIn}, {}}, true);
  CHECK(controller.Send(kSet, 0, 0) == 1);
  CHECK(controller.Send(kSetDir, 0, kAsNothing) == 0);
  controller.guest->Write(0x70, 0);
  CHECK(controller.wires[0].changes + controller.wires[1].changes == 0);
}

TEST_CASE("a line whose chip is gone is told to the loop") {
  Controller controller;
  CHECK_FALSE(controller.device->IsGone(1));
  controller.wires[1].events.gone = true;
  controller.device->EventsReady(1);
  controller.guest->transport.OnEnded();
  CHECK(controller.device->IsGone(1));
  CHECK_FALSE(controller.device->IsGone(0));
}

}  // namespace
}  // namespace microvm
