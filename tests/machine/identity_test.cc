// SPDX-License-Identifier: Apache-2.0
// Machines whose devices use the host's addresses: the RAM's file outlives what it must outlive.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "vmm/host/file.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;

struct IdentityBoard : Board {
  IdentityBoard() { AddIdentityTimer(); }
  [[nodiscard]] bool HasFile() const { return std::filesystem::exists(IdentityFile()); }
  // Only the calls that say in which order devices and RAM come and go.
  [[nodiscard]] std::vector<std::string> Order() const {
    std::vector<std::string> order;
    for (const std::string& call : kernel.log()) {
      if (call == "pwrite" || call == "KVM_CREATE_VM 32" || call.starts_with("unlink") ||
          call == "close ff120000.timer" || call == "close vm" || call == "ftruncate") {
        order.push_back(call);
      }
    }
    return order;
  }
  // What a killed machine leaves: its file, with something in it.
  void LeaveFileBehind() const { WriteFile(IdentityFile().string(), std::string(8U << 20, 'x')); }
};

TEST_CASE("the guest's RAM is given back when the device has come to rest and is closed") {
  IdentityBoard board;
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK(board.Order() == std::vector<std::string>{"ftruncate", "pwrite", "KVM_CREATE_VM 32",
                                                  "close vm", "pwrite", "close ff120000.timer",
                                                  "unlink vm@ff120000.timer", "unlink vm"});
  CHECK_FALSE(board.HasFile());
  CHECK(board.kernel.Live() == std::vector<std::string>{});
  CHECK(board.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("each range of RAM is a memory slot at the host's address") {
  IdentityBoard board;
  board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  const std::string log = fakes::Lines(board.kernel.log());
  CHECK(Contains(log, "KVM_SET_USER_MEMORY_REGION 0x50000000+0x600000\n"));
  CHECK(Contains(log, "KVM_SET_USER_MEMORY_REGION 0x70000000+0x200000\n"));
}

TEST_CASE("a device that does not come to rest keeps the RAM, and the user is told") {
  IdentityBoard board;
  auto& recipe = board.config.platform[0].reset.recipe;
  recipe.insert(recipe.begin(),
                {.action = ResetStep::Action::kPoll, .value = 0, .mask = 0xff, .us = 1});
  // The timer's first region is trapped, and its register stays as the guest leaves it.
  board.kernel.Script(0, {fakes::MmioWrite(0x1400'0000, 4, 7), fakes::PowerOff()});
  const Board::Outcome outcome = board.Run();
  CHECK(Contains(outcome.chain, "cannot bring device 'ff120000.timer' to rest"));
  CHECK(Contains(outcome.output, "hugepages/vm is kept"));
  CHECK(board.HasFile());
}

TEST_CASE("after a kill the device is brought to rest before RAM is cleared and used") {
  IdentityBoard board;
  board.LeaveFileBehind();
  char seen = 'x';
  board.kernel.Script(0, {fakes::Meanwhile([&] {
                            // The last byte of RAM, which nothing is loaded to.
                            seen = static_cast<char>(board.kernel.GuestRam()[0x5f'ffff]);
                          }),
                          fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK(seen == '\0');
  CHECK(board.Order() == std::vector<std::string>{"pwrite", "KVM_CREATE_VM 32", "close vm",
                                                  "pwrite", "close ff120000.timer",
                                                  "unlink vm@ff120000.timer", "unlink vm"});
  CHECK_FALSE(board.HasFile());
}

TEST_CASE("after a kill, a device that does not come to rest leaves everything as it is") {
  IdentityBoard board;
  board.LeaveFileBehind();
  board.config.platform[0].reset.recipe.push_back(
      {.action = ResetStep::Action::kPoll, .value = 1, .mask = 1, .us = 1});
  const Board::Outcome outcome = board.Run();
  CHECK(Contains(outcome.chain, "cannot bring device 'ff120000.timer' to rest"));
  CHECK(Contains(outcome.output, "hugepages/vm is kept"));
  REQUIRE(board.HasFile());
  CHECK(ReadTextFile(board.IdentityFile().string()) == std::string(8U << 20, 'x'));
}

TEST_CASE("a device that is never brought to rest keeps the RAM for good") {
  IdentityBoard board;
  board.config.platform[0].reset = {.policy = ResetPolicy::kNone, .recipe = {}};
  board.kernel.Script(0, {fakes::PowerOff()});
  const Board::Outcome outcome = board.Run();
  CHECK(outcome.reason == StopReason::kPowerOff);
  CHECK(Contains(outcome.output, "hugepages/vm is kept"));
  CHECK(board.HasFile());
  // Nothing would keep the device from what the next guest has there; --check tells, too.
  const std::string complaint = board.OpenAndPlanComplaint();
  CHECK(complaint == board.Run().chain);
  CHECK(Contains(complaint, "is left over from an earlier run"));
  CHECK(Contains(complaint, "rm " + board.IdentityFile().string()));
  CHECK(board.HasFile());
}

TEST_CASE(
    "an IOMMU before the device, or no way to bring it to rest, is an error and leaves no file") {
  Board board;
  SUBCASE("IOMMU") {
    board.AddIdentityTimer();
    board.AddCan(DmaMode::kIdentity);
    CHECK(Contains(board.OpenAndPlanComplaint(), "write dma = \"iommu\""));
  }
  SUBCASE("no way to rest") {
    board.AddIdentityTimer();
    board.config.platform[0].reset.recipe.clear();
    CHECK(Contains(board.OpenAndPlanComplaint(),
                   "it would go on writing to memory that is the host's again"));
  }
  CHECK_FALSE(std::filesystem::exists(board.IdentityFile()));
}

}  // namespace
}  // namespace microvm
