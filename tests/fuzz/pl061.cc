// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: a guest's accesses to a PL061, and what happens at the lines' other ends, in
// steps of 4 bytes. Its line is high exactly while an enabled interrupt is raised, and nothing is
// driven that may not be.
#include "devices/gpio/pl061.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>

#include "tests/devices/fake_line.h"

namespace {

using namespace microvm;

constexpr std::uint64_t kMis = 0x418;

struct Step {
  enum Kind : std::uint8_t { kWrite, kRead, kPull, kWork, kReset, kKinds };
  std::uint8_t kind;
  std::uint8_t value;
  std::uint16_t where;
};

struct Line final : IrqLine {
  void Set(bool to_high) noexcept override {
    if (high == to_high) __builtin_trap();
    high = to_high;
  }
  bool high = false;
};

std::uint64_t Read(Pl061& device, std::uint64_t offset, std::size_t width) {
  std::array<std::byte, 8> data{};
  device.Read(offset, std::span(data).first(width));
  return LoadRegister(data);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::array<GpioLineConfig, 4> lines = {
      {{},
       {.direction = GpioDirection::kIn, .edges = GpioEdges::kRising},
       {.direction = GpioDirection::kOut, .edges = GpioEdges::kNone},
       {.edges = GpioEdges::kNone}}};
  std::deque<fakes::Wire> wires;
  std::vector<GpioPin> pins;
  pins.reserve(lines.size());
  for (const GpioLineConfig& line : lines)
    pins.push_back(fakes::MakePin(wires.emplace_back(), line));
  Line line;
  Pl061 device("fuzz", std::move(pins));
  device.Connect(&line);
  for (std::size_t at = 0; at + sizeof(Step) <= size; at += sizeof(Step)) {
    Step step{};
    std::memcpy(&step, data + at, sizeof(step));
    fakes::Wire& wire = wires[step.where % wires.size()];
    const std::uint64_t offset = step.where % 0x1000 & ~std::uint64_t{7};
    const std::size_t width = std::size_t{1} << (step.where % 4);
    const std::array<std::byte, 8> value{std::byte{step.value}};
    switch (step.kind % Step::kKinds) {
      case Step::kWrite:
        device.Write(offset + 4ULL * (step.value % 2), std::span(value).first(width));
        break;
      case Step::kRead:
        Read(device, offset, width);
        break;
      case Step::kPull:
        wire.Pull(step.value % 2 == 1);
        device.TakeEvents(step.where % wires.size());
        break;
      case Step::kWork:
        wire.works = step.value % 2 == 1;
        wire.events.gone = !wire.works;
        break;
      default:
        device.Reset();
        break;
    }
    if (wires[1].output || wires[2].watched != GpioEdges::kNone) __builtin_trap();
    if ((Read(device, kMis, 1) != 0) != line.high) __builtin_trap();
  }
  device.Reset();
  if (line.high) __builtin_trap();
  return 0;
}
