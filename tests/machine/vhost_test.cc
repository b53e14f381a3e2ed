// SPDX-License-Identifier: Apache-2.0
// Virtio devices of a machine whose queues the host's kernel serves.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "tests/machine/virtio_driver.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;
using fakes::kFirstDevice;
using fakes::kQueue;
using fakes::kRamStart;
using fakes::StartVirtio;
using fakes::VcpuExit;

void CheckGivesBack(const Board& board) {
  CHECK(board.kernel.Live() == std::vector<std::string>{});
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

// A driver that starts both queues for data, both at one place.
std::vector<VcpuExit> StartBoth(std::uint64_t base) {
  constexpr std::size_t kAgreed = 6;  // steps until features are agreed on
  std::vector<VcpuExit> script = StartVirtio(base, 0);
  script.pop_back();
  std::vector<VcpuExit> second = StartVirtio(base, 1);
  for (std::size_t step = kAgreed; step < second.size(); ++step) {
    script.push_back(std::move(second[step]));
  }
  return script;
}

TEST_CASE("sockets are served by the host's kernel, again after a reboot, and given back") {
  Board board;
  board.config.vsock = VsockConfig{.cid = 3};
  std::vector<fakes::VhostState> states;
  for (int boot = 0; boot < 2; ++boot) {
    std::vector<VcpuExit> script = StartBoth(kFirstDevice);
    script.push_back(fakes::Meanwhile([&] { states.push_back(board.kernel.Vhost()); }));
    // The guest's notifications go to the kernel, without an exit.
    script.push_back(fakes::MmioWrite(kFirstDevice + 0x50, 4, 1));
    script.push_back(fakes::Meanwhile([&] {
      std::uint64_t kicks = 0;
      const int eventfd = board.kernel.Vhost().queues[1].kick;
      CHECK(::read(eventfd, &kicks, sizeof(kicks)) == sizeof(kicks));
      CHECK(kicks == 1);
    }));
    script.push_back(boot == 0 ? fakes::Reset() : fakes::PowerOff());
    board.kernel.Script(0, std::move(script));
  }
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain == "");
  REQUIRE(states.size() == 2);
  for (const fakes::VhostState& state : states) {
    CHECK(state.running);
    CHECK(state.cid == 3);
    CHECK(state.queues[1].size == 8);
    REQUIRE(state.memory.size() == 1);
    CHECK(state.memory[0][0] == kRamStart);
    CHECK(state.queues[0].descriptors == state.memory[0][2] + kQueue);
  }
  // Asked for once; stopped at the end of each boot.
  const auto log = board.kernel.log();
  CHECK(std::count(log.begin(), log.end(), "VHOST_VSOCK_SET_GUEST_CID 3") == 1);
  CHECK(std::count(log.begin(), log.end(), "VHOST_VSOCK_SET_RUNNING 0") == 2);
  CHECK(std::count(log.begin(), log.end(), "KVM_IOEVENTFD assign 0x14000050") == 4);
  REQUIRE(outcome.statistics.virtio.size() == 1);
  CHECK(outcome.statistics.virtio[0].name == "vsock");
  CHECK_FALSE(outcome.statistics.virtio[0].requests.has_value());
  CHECK_FALSE(outcome.statistics.virtio[0].interrupts.has_value());
  CHECK(outcome.statistics.virtio[0].failures == 0);
  CheckGivesBack(board);
}

TEST_CASE(
    "packets are carried by the host's kernel, beside its sockets, and again after a reboot") {
  Board board;
  board.config.nets = {{.tap = "tap0", .mac = {2, 0, 0, 0, 0, 1}, .vhost = true}};
  board.config.vsock = VsockConfig{.cid = 3};
  std::vector<bool> running;
  for (int boot = 0; boot < 2; ++boot) {
    std::vector<VcpuExit> script = StartBoth(kFirstDevice);
    script.push_back(fakes::Meanwhile([&] {
      running.push_back(board.kernel.Vhost("vhost-net").running);
      running.push_back(board.kernel.Vhost("vhost-vsock").running);
    }));
    script.push_back(boot == 0 ? fakes::Reset() : fakes::PowerOff());
    board.kernel.Script(0, std::move(script));
  }
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.chain == "");
  CHECK(running == std::vector<bool>{true, false, true, false});
  const auto log = board.kernel.log();
  CHECK(std::count(log.begin(), log.end(), "VHOST_NET_SET_BACKEND 1 none") == 2);
  REQUIRE(outcome.statistics.virtio.size() == 2);
  CHECK(outcome.statistics.virtio[0].name == "net0");
  CHECK_FALSE(outcome.statistics.virtio[0].requests.has_value());
  CheckGivesBack(board);
}

TEST_CASE("what the kernel finds wrong with a queue it serves is told to the guest") {
  Board board;
  board.config.vsock = VsockConfig{.cid = 3};
  std::vector<VcpuExit> script = StartBoth(kFirstDevice);
  script.push_back(fakes::Meanwhile([&] {
    const std::uint64_t one = 1;
    CHECK(::write(board.kernel.Vhost().queues[0].error, &one, sizeof(one)) == sizeof(one));
    ::usleep(50'000);
  }));
  script.push_back(fakes::MmioRead(kFirstDevice + 0x70, 4));
  script.push_back(fakes::PowerOff());
  board.kernel.Script(0, std::move(script));
  CHECK(board.Run().statistics.virtio.at(0).failures == 1);
  CHECK(board.kernel.mmio_reads() == std::vector<std::uint64_t>{79});
  CheckGivesBack(board);
}

TEST_CASE("the kernel's thread for queues starts where this program's own is") {
  Board board;
  board.config.vsock = VsockConfig{.cid = 3};
  board.config.cpu.affinity = {2};
  board.config.cpu.policy = SchedulingPolicy::kFifo;
  board.config.cpu.priority = 10;
  board.config.realtime.enabled = true;
  board.config.realtime.housekeeping = {0, 1};
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().chain == "");
  const auto log = board.kernel.log();
  const auto placed = std::find(log.begin(), log.end(), "sched_setaffinity 0 1");
  CHECK(placed < std::find(log.begin(), log.end(), "VHOST_SET_OWNER"));
  CheckGivesBack(board);
}

TEST_CASE("a CID that another machine has is refused before the guest runs") {
  Board board;
  board.config.vsock = VsockConfig{.cid = 3};
  board.kernel.FailMatching("VHOST_VSOCK_SET_GUEST_CID", EADDRINUSE);
  const Board::Outcome outcome = board.Run();
  CHECK(Contains(outcome.chain, "vsock\n  another machine has the CID 3"));
  CHECK(outcome.statistics.boots == 0);
  CheckGivesBack(board);
}

}  // namespace
}  // namespace microvm
