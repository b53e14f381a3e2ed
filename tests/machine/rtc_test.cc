// SPDX-License-Identifier: Apache-2.0
// The guest's real-time clock in a machine: the host's time, an alarm by the event loop.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "tests/fakes/board.h"
#include "vmm/machine/host_clock.h"

namespace microvm {
namespace {

using fakes::Board;

constexpr std::uint64_t kRtc = 0x1400'0000;
constexpr std::uint32_t kRtcIntid = 33;

TEST_CASE("the host's clock calls when its alarm has come, and not when it is taken back") {
  EventLoop loop;
  int calls = 0;
  HostClock clock(loop, [&] { ++calls; });
  const std::int64_t now = clock.Now();
  CHECK(now >= std::time(nullptr) - 1);
  clock.SetAlarm(now);  // has passed
  while (calls == 0) loop.run_one();
  clock.SetAlarm(now + 1);
  clock.SetAlarm(std::nullopt);
  loop.run_for(std::chrono::milliseconds(1200));
  CHECK(calls == 1);
  loop.restart();
  const std::int64_t soon = clock.Now() + 1;
  clock.SetAlarm(soon);
  while (calls == 1) loop.run_one();
  CHECK(clock.Now() >= soon);
}

TEST_CASE("a guest reads the host's time, and an alarm of its interrupts it, in each boot anew") {
  Board board;
  board.config.rtc.enabled = true;
  const auto raises = [&] {
    const auto& lines = board.kernel.irq_lines();
    return std::count(lines.begin(), lines.end(), std::pair(kRtcIntid, true));
  };
  const std::int64_t start = std::time(nullptr);
  for (int boot = 0; boot < 2; ++boot) {
    board.kernel.Script(
        0, {fakes::MmioRead(kRtc, 4), fakes::MmioWrite(kRtc + 0x10, 4, 1),
            // The guest's own time, which no boot takes over to the next.
            fakes::MmioWrite(kRtc + 0x08, 4, 1000), fakes::MmioWrite(kRtc + 0x04, 4, 1001),
            fakes::Meanwhile([&raises, boot] {
              for (int wait = 0; wait < 500 && raises() == boot; ++wait) ::usleep(10'000);
            }),
            fakes::MmioRead(kRtc + 0x14, 4), boot == 0 ? fakes::Reset() : fakes::PowerOff()});
  }
  const std::size_t descriptors = fakes::OpenDescriptors();
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain == "");
  CHECK(raises() == 2);
  CHECK(outcome.statistics.rtc_alarms == 2);
  const auto reads = board.kernel.mmio_reads();
  REQUIRE(reads.size() == 4);
  for (const std::size_t boot : {0U, 2U}) {
    CHECK(reads[boot] >= static_cast<std::uint64_t>(start));
    CHECK(reads[boot] <= static_cast<std::uint64_t>(std::time(nullptr)));
    CHECK(reads[boot + 1] == 1);
  }
  CHECK(fakes::OpenDescriptors() == descriptors);
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

}  // namespace
}  // namespace microvm
