// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: requests and event buffers of a driver, and what happens at the lines' other
// ends, in steps of 8 bytes. The device keeps no buffer of a queue that was taken back, gives each
// back once, and drives nothing that it may not.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <set>

#include "devices/virtio/gpio_device.h"
#include "tests/devices/fake_line.h"

namespace {

using namespace microvm;

struct Step {
  enum Kind : std::uint8_t { kRequest, kUnmask, kPull, kEnded, kForget, kBreak, kKinds };
  std::uint8_t kind;
  std::uint8_t line;
  std::uint16_t type;
  std::uint32_t value;
};

struct Fixture {
  Fixture() {
    const std::array<GpioLineConfig, 4> lines = {
        {{},
         {.direction = GpioDirection::kIn, .edges = GpioEdges::kRising, .name = "in"},
         {.direction = GpioDirection::kOut, .edges = GpioEdges::kNone},
         {.edges = GpioEdges::kNone}}};
    std::vector<GpioDevice::Line> made;
    for (const GpioLineConfig& line : lines) {
      wires.emplace_back();
      made.push_back({fakes::MakePin(wires.back(), line), line.name});
    }
    device = std::make_unique<GpioDevice>(std::move(made));
    device->Start(1);
  }

  void Require(bool holds) const {
    if (!holds) __builtin_trap();
  }

  void Send(std::uint16_t queue, std::span<std::byte> out, std::size_t in_bytes) {
    chain.Begin(next_head);
    Require(chain.Add(out, false));
    // Of a buffer that is given back later only the device may write.
    std::span<std::byte> in = std::span(answers[next_head % answers.size()]).first(in_bytes);
    if (!in.empty()) Require(chain.Add(in, true));
    const Handled handled = device->Handle(queue, chain);
    if (handled.how == Handled::How::kLater) {
      Require(queue == 1 && held.insert(next_head).second);
    } else if (handled.how == Handled::How::kDone) {
      Require(handled.written_bytes <= in_bytes);
    }
    ++next_head;
  }

  void TakeEnded() {
    while (const auto ended = device->NextEnded(false)) {
      Require(ended->queue == 1 && ended->written_bytes == 1 && held.erase(ended->head) == 1);
    }
  }

  void Do(const Step& step) {
    const std::size_t line = step.line % wires.size();
    switch (step.kind % Step::kKinds) {
      case Step::kRequest: {
        std::array<std::byte, 8> request{};
        const std::uint16_t number = step.line;
        std::memcpy(request.data(), &step.type, 2);
        std::memcpy(&request[2], &number, 2);
        std::memcpy(&request[4], &step.value, 4);
        Send(0, request, step.value % 13);
        break;
      }
      case Step::kUnmask: {
        std::array<std::byte, 2> request{std::byte{step.line}};
        Send(1, std::span(request).first(1 + step.type % 2), step.value % 3);
        break;
      }
      case Step::kPull:
        wires[line].Pull(step.value % 2 == 1);
        device->EventsReady(line);
        break;
      case Step::kEnded:
        TakeEnded();
        break;
      case Step::kForget:
        TakeEnded();
        device->Forget(step.type % 2);
        if (step.type % 2 == 1) held.clear();
        break;
      default:
        wires[line].works = step.value % 2 == 1;
        wires[line].events.gone = !wires[line].works;
        break;
    }
    Require(!wires[1].output && !wires[3].events.count);
    Require(wires[2].watched == GpioEdges::kNone);
  }

  std::deque<fakes::Wire> wires;
  std::unique_ptr<GpioDevice> device;
  DescriptorChain chain;
  std::array<std::array<std::byte, 16>, 64> answers{};
  std::set<std::uint16_t> held;
  std::uint16_t next_head = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Fixture fixture;
  for (std::size_t at = 0; at + sizeof(Step) <= size; at += sizeof(Step)) {
    Step step{};
    std::memcpy(&step, data + at, sizeof(step));
    fixture.Do(step);
  }
  // At most one buffer of a line is in the device's hands.
  fixture.TakeEnded();
  fixture.Require(fixture.held.size() <= fixture.wires.size());
  return 0;
}
