// SPDX-License-Identifier: Apache-2.0
// What is in the guest's RAM when it starts, at its first boot and after a reset.
#include <doctest/doctest.h>

#include <array>
#include <cstring>

#include "tests/fakes/board.h"
#include "vmm/fdt/device_tree.h"

namespace microvm {
namespace {

using fakes::Board;

constexpr std::uint64_t kTreeOffset = 0x20'0000;

// The guest's RAM, by way of what the fake knows: the guest itself writes there.
std::byte* Ram(fakes::FakeKernel& kernel) { return kernel.GuestRam(); }

TEST_CASE("the kernel and a tree with fresh seeds are in RAM at every boot, and nothing else") {
  Board board;
  std::array<std::vector<std::byte>, 2> seeds;
  for (std::size_t boot = 0; boot < seeds.size(); ++boot) {
    board.kernel.Script(0,
                        {fakes::Meanwhile([&board, &seeds, boot] {
                           std::byte* ram = Ram(board.kernel);
                           REQUIRE(ram != nullptr);
                           CHECK(std::memcmp(ram, fakes::SmallImage().data(), 4096) == 0);
                           CHECK(ram[0x10'0000] == std::byte{0});
                           const DeviceTree tree({ram + kTreeOffset, ram + kTreeOffset + 0x1'0000});
                           const auto seed = tree.Find("/chosen")->Property("rng-seed")->value;
                           seeds[boot].assign(seed.begin(), seed.end());
                           // What a guest leaves behind.
                           std::memset(ram, 0xee, 8U << 20);
                         }),
                         boot == 0 ? fakes::Reset() : fakes::PowerOff()});
  }
  CHECK(board.Run().reason == StopReason::kPowerOff);
  CHECK(seeds[0].size() == 32);
  CHECK(seeds[1].size() == 32);
  CHECK(seeds[0] != seeds[1]);
}

TEST_CASE("RAM that a device can write to is cleared at a reset too") {
  Board board;
  board.AddCan();
  board.kernel.Script(0, {fakes::Meanwhile([&] { std::memset(Ram(board.kernel), 0xee, 8U << 20); }),
                          fakes::Reset()});
  board.kernel.Script(0, {fakes::Meanwhile([&] {
                            CHECK(Ram(board.kernel)[0x10'0000] == std::byte{0});
                            CHECK(Ram(board.kernel)[(8U << 20) - 1] == std::byte{0});
                          }),
                          fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
}

}  // namespace
}  // namespace microvm
