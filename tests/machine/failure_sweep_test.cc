// SPDX-License-Identifier: Apache-2.0
// For every n, the n-th call to the kernel fails: nothing crashes or hangs, everything acquired
// before is released again, and what the user reads names the call.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <functional>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;

struct Harmless {
  std::string_view call;
  std::string_view reason;
};

// Calls whose failure is by design no failure of the whole.
constexpr std::array kHarmless = {
    Harmless{"madvise hugepage", "advice: ordinary pages do as well"},
    Harmless{"madvise dontneed", "the memory is overwritten instead"},
    Harmless{"TUNSETOFFLOAD", "segments are not offered, or not taken"},
    Harmless{"sched_setscheduler 1 1", "what KVM is told takes longer"},
    Harmless{"sched_setscheduler 0 0", "a thread may always be an ordinary one again"},
};

std::string FirstWord(const std::string& call) { return call.substr(0, call.find(' ')); }

bool IsHarmless(const std::string& call) {
  return std::any_of(kHarmless.begin(), kHarmless.end(),
                     [&](const Harmless& harmless) { return harmless.call == call; });
}

// Calls that take an interrupt down: there is nobody left to throw to, so their failure is told on
// standard error, and closing the device and the VM does what they could not.
bool IsTakeDown(const std::string& call) {
  return call.ends_with(" mask") || call.ends_with(" off") || call.ends_with("unmask no eventfd") ||
         call.starts_with("KVM_IRQFD deassign") || call.starts_with("KVM_IOEVENTFD deassign") ||
         call.starts_with("unlink");
}

// How a start is made.
struct Start {
  int resets = 0;         // of the guest, before it powers off
  bool iommufd = false;   // else through groups
  bool identity = false;  // the timer reaches RAM, at the host's addresses
};

// A machine with all there is.
void Prepare(Board& board, const Start& start) {
  board.AddCan(DmaMode::kIommu, start.iommufd ? std::optional(0U) : std::nullopt);
  if (start.identity) {
    board.AddIdentityTimer();
  } else {
    board.AddTimer();
  }
  board.config.cpu.count = 2;
  board.config.cpu.affinity = {0, 1};
  board.config.cpu.policy = SchedulingPolicy::kFifo;
  board.config.cpu.priority = 10;
  board.config.cpu.pmu = true;
  board.config.memory.lock = true;
  board.config.consoles = {{.input = false},
                           {.kind = ConsoleKind::kHvc, .path = board.host.Write("log", "")}};
  board.config.rtc.enabled = true;
  board.config.disks = {{.path = board.host.Write("disk", std::string(4096, 'D'))}};
  board.config.nets = {{.tap = "tap0"}, {.tap = "tap1", .vhost = true}};
  board.config.rng.enabled = true;
  board.config.vsock = VsockConfig{.cid = 3};
  board.kernel.host.gpio_chips = {
      {.name = "gpiochip0", .label = "soc", .lines = {{}, {.output = true}}}};
  board.host.Write("sys/bus/gpio/devices/gpiochip0", "");
  board.config.gpios = {{.consumer = "vm", .lines = {{"soc", "0"}}},
                        {.model = GpioModel::kPl061, .consumer = "vm", .lines = {{"soc", "1"}}}};
  board.config.boot.initrd = board.host.Write("initrd", "an initial file system");
  for (int boot = 0; boot < start.resets; ++boot) board.kernel.Script(0, {fakes::Reset()});
  board.kernel.Script(0, {fakes::PowerOff()});
}

// Runs it with the n-th call failing; false if there are fewer calls than that.
bool SurvivesFailureOf(std::size_t n, int error, const Start& start) {
  Board board;
  Prepare(board, start);
  const std::size_t descriptors = fakes::OpenDescriptors();
  board.kernel.FailCall(n, error);
  const Board::Outcome outcome = board.Run();
  const std::string failed = board.kernel.failed_call();
  if (failed.empty()) return false;
  CAPTURE(n);
  CAPTURE(failed);
  CAPTURE(outcome.chain);
  CAPTURE(outcome.output);
  CHECK(board.kernel.Live() == std::vector<std::string>{});
  CHECK(fakes::OpenDescriptors() == descriptors);
  // The guest's RAM is kept for a device that may be running, and only then.
  const bool kept = Contains(outcome.output, "is kept");
  if (!failed.starts_with("unlink") && start.identity) {
    // An empty file, of which it was not known whose it is, keeps no memory.
    const auto file = board.IdentityFile();
    CHECK((std::filesystem::exists(file) && std::filesystem::file_size(file) > 0) == kept);
    CHECK(kept == (Contains(outcome.chain, "to rest") &&
                   Contains(fakes::Lines(board.kernel.log()), "KVM_CREATE_VM")));
  }
  if (!IsTakeDown(failed)) CHECK(board.kernel.violations() == std::vector<std::string>{});
  if (IsHarmless(failed)) {
    CHECK(outcome.reason == StopReason::kPowerOff);
  } else if (IsTakeDown(failed)) {
    CHECK(Contains(outcome.output, FirstWord(failed)));
  } else {
    CHECK_FALSE(outcome.reason.has_value());
    CHECK(Contains(outcome.chain, FirstWord(failed)));
    CHECK(Contains(outcome.chain, error == EIO ? "Input/output error" : "Cannot allocate memory"));
  }
  return true;
}

std::size_t Sweep(int error, const Start& start) {
  std::size_t n = 1;
  while (SurvivesFailureOf(n, error, start)) ++n;
  return n - 1;
}

std::size_t CallsOf(const Start& start) {
  Board board;
  Prepare(board, start);
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK(board.kernel.Live() == std::vector<std::string>{});
  CHECK(board.kernel.violations() == std::vector<std::string>{});
  return board.kernel.calls();
}

TEST_CASE("every single call of a start may fail with EIO") {
  for (const bool iommufd : {false, true}) {
    const Start start{.iommufd = iommufd};
    const std::size_t calls = CallsOf(start);
    CHECK(calls > 100);
    CHECK(Sweep(EIO, start) == calls);
  }
}

TEST_CASE("every single call of a start may fail with ENOMEM") {
  CHECK(Sweep(ENOMEM, {.iommufd = true}) == CallsOf({.iommufd = true}));
}

TEST_CASE("every single call of a start at the host's addresses may fail") {
  CHECK(Sweep(EIO, {.identity = true}) == CallsOf({.identity = true}));
}

TEST_CASE("every single call of a second boot may fail") {
  const std::size_t first = CallsOf({});
  const std::size_t both = CallsOf({.resets = 1});
  CHECK(both > first + 50);
  std::size_t n = first - 20;  // from the end of the first boot on
  while (SurvivesFailureOf(n, EIO, {.resets = 1})) ++n;
  CHECK(n - 1 == both);
}

}  // namespace
}  // namespace microvm
