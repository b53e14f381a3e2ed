// SPDX-License-Identifier: Apache-2.0
// GPIO lines of a machine: from the guest's registers to the host's chip and back, over reboots and
// to the end.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;
using fakes::VcpuExit;

constexpr std::uint64_t kPl061 = 0x1400'0000;
constexpr std::uint64_t kDir = kPl061 + 0x400;
constexpr std::uint64_t kIbe = kPl061 + 0x408;
constexpr std::uint64_t kIe = kPl061 + 0x410;
constexpr std::uint64_t kMis = kPl061 + 0x418;
constexpr std::uint64_t kIc = kPl061 + 0x41c;
constexpr std::uint32_t kIntid = 32 + 1;

void AddChip(Board& board, GpioModel model) {
  board.kernel.host.gpio_chips = {{.name = "gpiochip0", .label = "soc", .lines = {{}, {}}}};
  board.host.Write("sys/bus/gpio/devices/gpiochip0", "");
  board.config.gpios = {
      {.model = model, .consumer = "microvm:vm", .lines = {{"soc", "0"}, {"soc", "1"}}}};
}

// The loop has seen to what the host's line did.
VcpuExit AwaitLevels(Board& board, std::size_t count) {
  return fakes::Meanwhile([&board, count] {
    for (int tries = 0; tries < 2000 && board.kernel.irq_lines().size() < count; ++tries) {
      ::usleep(1000);
    }
  });
}

TEST_CASE("a PL061 drives the host's line and is interrupted by it, again after a reboot") {
  Board board;
  AddChip(board, GpioModel::kPl061);
  std::vector<bool> driven;
  const auto look = [&] {
    return fakes::Meanwhile([&] {
      const auto line = board.kernel.gpio_line(0, 0);
      driven.push_back(line.output && line.high);
    });
  };
  for (std::size_t boot = 0; boot < 2; ++boot) {
    std::vector<VcpuExit> script = {
        look(), fakes::MmioWrite(kDir, 1, 1), fakes::MmioWrite(kPl061 + (1 << 2), 1, 1),
        look(), fakes::MmioWrite(kIbe, 1, 2), fakes::MmioWrite(kIe, 1, 2)};
    script.push_back(fakes::Meanwhile([&board, boot] { board.kernel.PullGpio(0, 1, boot == 0); }));
    script.push_back(AwaitLevels(board, 2 * boot + 1));
    script.push_back(fakes::MmioRead(kMis, 1));
    script.push_back(fakes::MmioWrite(kIc, 1, 2));
    script.push_back(boot == 0 ? fakes::Reset() : fakes::PowerOff());
    board.kernel.Script(0, std::move(script));
  }
  const std::size_t descriptors = fakes::OpenDescriptors();
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain == "");
  CHECK(outcome.statistics.boots == 2);
  CHECK(driven == std::vector<bool>{false, true, false, true});
  CHECK(board.kernel.mmio_reads() == std::vector<std::uint64_t>{2, 2});
  const std::vector<std::pair<std::uint32_t, bool>> levels = {
      {kIntid, true}, {kIntid, false}, {kIntid, true}, {kIntid, false}};
  CHECK(board.kernel.irq_lines() == levels);
  REQUIRE(outcome.statistics.pl061s.size() == 1);
  CHECK(outcome.statistics.pl061s[0].name == "gpio0");
  CHECK(outcome.statistics.pl061s[0].edges == 2);
  CHECK(outcome.statistics.pl061s[0].interrupts == 2);
  CHECK(outcome.statistics.pl061s[0].errors == 0);
  CHECK_FALSE(board.kernel.gpio_line(0, 0).output);
  CHECK(board.kernel.gpio_line(0, 0).consumer.empty());
  CHECK(fakes::OpenDescriptors() == descriptors);
  CHECK(board.kernel.Live() == std::vector<std::string>{});
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("a virtio GPIO controller has its lines for as long as the machine is there") {
  Board board;
  AddChip(board, GpioModel::kVirtio);
  std::string consumer;
  board.kernel.Script(0,
                      {fakes::Meanwhile([&] { consumer = board.kernel.gpio_line(0, 1).consumer; }),
                       fakes::PowerOff()});
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain == "");
  CHECK(consumer == "microvm:vm");
  REQUIRE(outcome.statistics.virtio.size() == 1);
  CHECK(outcome.statistics.virtio[0].name == "gpio0");
  CHECK(board.kernel.gpio_line(0, 1).consumer.empty());
  CHECK(board.kernel.Live() == std::vector<std::string>{});
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("a line that somebody has is refused before the guest runs") {
  Board board;
  AddChip(board, GpioModel::kPl061);
  board.kernel.host.gpio_chips[0].lines[1].consumer = "microvm:other";
  const Board::Outcome outcome = board.Run();
  CHECK(Contains(outcome.chain, "gpio: line 'soc:1': it is in use by 'microvm:other'\n"));
  CHECK(outcome.statistics.boots == 0);
  CHECK(board.kernel.Live() == std::vector<std::string>{});
}

}  // namespace
}  // namespace microvm
