// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/reset_recipe.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/vfio/opened_device.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::ChainOf;
using fakes::Contains;
using fakes::OpenedDevice;
using Action = ResetStep::Action;

constexpr off_t kRegister = 0x20;

class Can {
 public:
  Can() {
    board_.AddCan();
    opened_.emplace(board_);
  }
  [[nodiscard]] const VfioDevice& device() const { return *opened_->device; }
  [[nodiscard]] std::uint32_t Register() {
    std::uint32_t value = 0;
    CHECK(board_.kernel.Pread(device().fd().get(), &value, sizeof(value), kRegister) == 4);
    return value;
  }
  void SetRegister(std::uint32_t value) {
    CHECK(board_.kernel.Pwrite(device().fd().get(), &value, sizeof(value), kRegister) == 4);
  }

 private:
  Board board_;
  std::optional<OpenedDevice> opened_;
};

ResetStep At(Action action, std::uint64_t value, std::uint64_t mask) {
  return {.action = action, .offset = kRegister, .value = value, .mask = mask, .us = 50};
}

TEST_CASE("a write under a mask keeps the other bits, a whole write reads nothing") {
  Can can;
  can.SetRegister(0xa5a5'a5a5);
  RunRecipe(can.device(), {At(Action::kWrite, 0x1200, 0xff00)});
  CHECK(can.Register() == 0xa5a5'12a5);
  RunRecipe(can.device(), {At(Action::kWrite, 7, 0xffff'ffff)});
  CHECK(can.Register() == 7);
}

TEST_CASE("registers narrower than a word are written alone") {
  Can can;
  can.SetRegister(0);
  RunRecipe(can.device(), {{.action = Action::kWrite,
                            .offset = kRegister + 2,
                            .size_bytes = 1,
                            .value = 0xee,
                            .mask = 0xff}});
  CHECK(can.Register() == 0x00ee'0000);
}

TEST_CASE("steps run in their order, and a poll that is met goes on") {
  Can can;
  RunRecipe(can.device(), {At(Action::kWrite, 0x30, 0xffff'ffff),
                           At(Action::kPoll, 0x10, 0x10),
                           {.action = Action::kDelay, .us = 1},
                           At(Action::kWrite, 0x40, 0xffff'ffff)});
  CHECK(can.Register() == 0x40);
}

TEST_CASE("a poll that times out names step, register and what it saw, and ends the recipe") {
  Can can;
  can.SetRegister(0x31);
  CHECK(Contains(ChainOf([&] {
                   RunRecipe(can.device(), {{.action = Action::kDelay, .us = 1},
                                            At(Action::kPoll, 0x2, 0xf),
                                            At(Action::kWrite, 0, 0xffff'ffff)});
                 }),
                 "step 2 of its recipe (poll at 0x20 of region 0)\n"
                 "  after 50 us the register's bits 0xf are 0x1, not 0x2"));
  CHECK(can.Register() == 0x31);
}

TEST_CASE("a region that cannot be written names the call") {
  Board board;
  board.AddCan();
  board.kernel.host.devices[0].regions[0].writable = false;
  const OpenedDevice opened(board);
  CHECK(Contains(ChainOf([&] { RunRecipe(*opened.device, {At(Action::kWrite, 1, 0xffff'ffff)}); }),
                 "step 1 of its recipe (write at 0x20 of region 0)\n  pwrite: Invalid argument"));
}

}  // namespace
}  // namespace microvm
