// SPDX-License-Identifier: Apache-2.0
#include "devices/gpio/pl061.h"

#include <doctest/doctest.h>

#include <deque>

#include "tests/devices/fake_line.h"

namespace microvm {
namespace {

using fakes::Wire;

constexpr std::uint64_t kDir = 0x400;
constexpr std::uint64_t kIs = 0x404;
constexpr std::uint64_t kIbe = 0x408;
constexpr std::uint64_t kIev = 0x40c;
constexpr std::uint64_t kIe = 0x410;
constexpr std::uint64_t kRis = 0x414;
constexpr std::uint64_t kMis = 0x418;
constexpr std::uint64_t kIc = 0x41c;
constexpr std::uint64_t kAfsel = 0x420;

// GPIODATA of these lines.
constexpr std::uint64_t Data(std::uint8_t mask) { return std::uint64_t{mask} << 2; }

struct Spi final : IrqLine {
  void Set(bool to_high) noexcept override {
    high = to_high;
    ++changes;
  }
  bool high = false;
  unsigned changes = 0;
};

struct Block {
  explicit Block(const std::vector<GpioLineConfig>& lines = {{}, {}, {}}, bool found_high = false) {
    std::vector<GpioPin> pins;
    for (const GpioLineConfig& line : lines) {
      wires.push_back({.output = found_high, .high = found_high});
      pins.push_back(fakes::MakePin(wires.back(), line));
    }
    device = std::make_unique<Pl061>("gpio0", std::move(pins));
    device->Connect(&spi);
  }
  int Read(std::uint64_t offset, std::size_t width = 1) {
    std::array<std::byte, 8> data{};
    if (device->Read(offset, std::span(data).first(width)) != MmioResult::kOk) return -1;
    return static_cast<int>(LoadRegister(std::span<const std::byte>(data).first(width)));
  }
  bool Write(std::uint64_t offset, std::uint8_t value, std::size_t width = 1) {
    std::array<std::byte, 8> data{std::byte{value}};
    return device->Write(offset, std::span(data).first(width)) == MmioResult::kOk;
  }
  // The other end pulls a line; the event loop sees that.
  void Pull(std::size_t line, bool high) {
    wires[line].Pull(high);
    if (wires[line].events.count > 0) device->TakeEvents(line);
  }

  std::deque<Wire> wires;
  Spi spi;
  std::unique_ptr<Pl061> device;
};

TEST_CASE("a PL061 says what it is") {
  Block block;
  std::uint64_t at = 0xfe0;
  for (const int expected : {0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1}) {
    CHECK(block.Read(at, 4) == expected);
    at += 4;
  }
}

TEST_CASE("GPIODATA shows and drives the lines that the address says") {
  Block block;
  block.wires[1].Pull(true);
  CHECK(block.Read(Data(0xff)) == 2);
  CHECK(block.Read(Data(0x05)) == 0);
  CHECK(block.Read(Data(0x02), 4) == 2);
  block.Write(kDir, 5);
  CHECK(block.Write(Data(0x04), 0xff));
  CHECK(block.wires[2].high);
  CHECK_FALSE(block.wires[0].high);
  CHECK(block.Read(Data(0xff)) == 6);
}

TEST_CASE("an output has from its first moment what was written before") {
  Block block;
  block.Write(Data(1), 1);
  CHECK_FALSE(block.wires[0].high);
  CHECK(block.wires[0].changes == 0);
  block.Write(kDir, 1);
  CHECK(block.wires[0].output);
  CHECK(block.wires[0].high);
  CHECK(block.wires[0].changes == 1);
}

TEST_CASE("registers are read as they were written") {
  Block block;
  for (const std::uint64_t offset : {kIs, kIbe, kIev, kIe, kAfsel}) {
    CHECK(block.Write(offset, 0xa5, 4));
    CHECK(block.Read(offset, 4) == 0xa5);
  }
  CHECK(block.Read(kIc) == 0);
  CHECK(block.Write(kRis, 0xff));
}

TEST_CASE("accesses that no register takes are refused") {
  Block block;
  CHECK(block.Read(0x424) == -1);
  CHECK(block.Read(0x401) == -1);
  CHECK(block.Read(kDir, 8) == -1);
  CHECK_FALSE(block.Write(0x424, 1));
  CHECK_FALSE(block.Write(kDir, 1, 8));
}

TEST_CASE("what the configuration denies has no effect") {
  Block block({{.direction = GpioDirection::kIn},
               {.direction = GpioDirection::kOut, .edges = GpioEdges::kNone},
               {.edges = GpioEdges::kRising}});
  block.Write(kDir, 0xff);
  CHECK(block.Read(kDir) == 6);
  CHECK_FALSE(block.wires[0].output);
  block.Write(kDir, 0);
  CHECK(block.Read(kDir) == 2);
  CHECK(block.wires[1].output);
  block.Write(kIe, 4);  // falling edges
  block.Pull(2, true);
  block.Pull(2, false);
  CHECK(block.Read(kRis) == 0);
  CHECK_FALSE(block.spi.high);
  CHECK(block.device->counts().errors == 3);
}

TEST_CASE("edges are latched until they are cleared, and interrupt if they are enabled") {
  Block block;
  block.Write(kIev, 1);
  block.Write(kIe, 3);
  block.Pull(0, true);
  CHECK(block.spi.high);
  CHECK(block.Read(kRis) == 1);
  block.Pull(0, false);
  CHECK(block.Read(kMis) == 1);
  block.Write(kIc, 1);
  CHECK_FALSE(block.spi.high);
  CHECK(block.Read(kRis) == 0);
  block.Pull(1, true);  // which looks for a falling one
  CHECK_FALSE(block.spi.high);
  block.Pull(1, false);
  CHECK(block.Read(kMis) == 2);
  CHECK(block.device->counts().interrupts == 2);
  CHECK(block.device->counts().edges == 2);
}

TEST_CASE("an edge that comes while its interrupt is disabled is there when it is enabled") {
  Block block;
  block.Write(kIbe, 1);
  block.Write(kIe, 1);
  block.Write(kIe, 0);
  block.Pull(0, true);
  CHECK_FALSE(block.spi.high);
  CHECK(block.Read(kRis) == 1);
  CHECK(block.Read(kMis) == 0);
  block.Write(kIe, 1);
  CHECK(block.spi.high);
}

TEST_CASE("both edges interrupt where GPIOIBE says so") {
  Block block;
  block.Write(kIbe, 1);
  block.Write(kIe, 1);
  for (const bool high : {true, false}) {
    block.Pull(0, high);
    CHECK(block.Read(kMis) == 1);
    block.Write(kIc, 1);
  }
}

TEST_CASE("a level interrupts as long as it lasts") {
  Block block;
  block.Write(kIs, 3);
  block.Write(kIev, 1);
  block.Write(kIe, 1);
  CHECK_FALSE(block.spi.high);
  block.Pull(0, true);
  CHECK(block.spi.high);
  block.Write(kIc, 1);
  CHECK(block.spi.high);
  block.Pull(0, false);
  CHECK_FALSE(block.spi.high);
  CHECK(block.Read(kRis) == 2);  // low, and not enabled
  block.Write(kIe, 2);
  CHECK(block.spi.high);
}

TEST_CASE("a level whose end may not be watched is over when the guest looks") {
  Block block({{.edges = GpioEdges::kRising}});
  block.Write(kIs, 1);
  block.Write(kIev, 1);
  block.Write(kIe, 1);
  block.Pull(0, true);
  CHECK(block.spi.high);
  block.Pull(0, false);
  CHECK(block.Read(kMis) == 0);
  CHECK_FALSE(block.spi.high);
}

TEST_CASE("the host is asked for something only when something is different") {
  Block block;
  block.Write(kIev, 1);
  block.Write(kIe, 1);
  const unsigned before = block.wires[0].changes;
  for (int count = 0; count < 10; ++count) {
    block.Write(kIe, 0);
    block.Write(kIe, 1);
    block.Write(kIc, 1);
  }
  CHECK(block.wires[0].changes == before);
  CHECK(block.wires[1].changes == 0);
}

TEST_CASE("a reset leaves lines as they were found, and the interrupt low") {
  Block block;
  block.Write(Data(1), 1);
  block.Write(kDir, 1);
  block.Write(kIbe, 2);
  block.Write(kIe, 2);
  block.Pull(1, true);
  CHECK(block.spi.high);
  block.device->Reset();
  CHECK_FALSE(block.spi.high);
  CHECK_FALSE(block.wires[0].output);
  CHECK(block.wires[1].watched == GpioEdges::kNone);
  for (const std::uint64_t offset : {kDir, kIs, kIbe, kIev, kIe, kRis, kAfsel}) {
    CHECK(block.Read(offset) == 0);
  }
  block.Write(kDir, 1);
  CHECK_FALSE(block.wires[0].high);
}

TEST_CASE("GPIODIR shows outputs that were found, and a reset drives them as before") {
  Block block({{}, {}}, true);
  CHECK(block.Read(kDir) == 3);
  block.Write(Data(1), 0);
  CHECK_FALSE(block.wires[0].high);
  block.device->Reset();
  CHECK(block.wires[0].high);
  CHECK(block.wires[0].output);
}

TEST_CASE("an output that was found is not touched where the guest may not, or does not") {
  Block block({{.direction = GpioDirection::kIn}, {}}, true);
  block.Write(Data(1), 0);
  CHECK(block.wires[0].high);
  block.device->Reset();
  CHECK(block.wires[0].changes + block.wires[1].changes == 0);
}

TEST_CASE("a wire that is gone is not touched, and a chip that is gone is told") {
  Block block;
  block.Write(kIbe, 1);
  block.Write(kIe, 1);
  block.device->Connect(nullptr);
  block.Pull(0, true);
  CHECK(block.spi.changes == 0);
  CHECK(block.device->TakeEvents(0));
  block.wires[0].events.gone = true;
  block.wires[0].works = false;
  CHECK_FALSE(block.device->TakeEvents(0));
  CHECK(block.Read(Data(1)) == 0);
}

}  // namespace
}  // namespace microvm
