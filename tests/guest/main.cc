// SPDX-License-Identifier: Apache-2.0
// The recipe: see memory, find the console, read the board, map it, run the modes, power off.
#include <cstdint>
#include <optional>

#include "cpu.h"
#include "failure.h"
#include "gic_v2.h"
#include "gic_v3.h"
#include "guest.h"
#include "modes/modes.h"

namespace guest {
namespace {

std::uint64_t TreeSize(std::uint64_t blob) {
  constexpr std::uint64_t kTotalSize = 4;  // big endian
  return __builtin_bswap32(Read32(blob + kTotalSize));
}

void MapDevices(AddressSpace& space, const Board& board) {
  space.MapIdentity(board.gic.distributor.start, board.gic.distributor.size, Memory::kDevice);
  for (const PhysicalRange& region : board.gic.others) {
    space.MapIdentity(region.start, region.size, Memory::kDevice);
  }
  for (const PhysicalRange& region : board.device.regions) {
    space.MapIdentity(region.start, region.size, Memory::kDevice);
  }
}

void Run(Guest& guest) {
  const std::optional<std::string_view> modes = guest.arguments().Text("mode");
  if (!modes) Fail("no mode= on the command line");
  RunModes(guest, *modes);
  guest.console().Line("guest: ok ", *modes);
  guest.psci().SystemOff();
}

}  // namespace

// Called by start.S with the MMU off: until it is on, no access may be unaligned.
extern "C" [[noreturn]] void Main(std::uint64_t image_start, std::uint64_t image_end,
                                  std::uint64_t blob) {
  AddressSpace space;
  space.MapIdentity(image_start, image_end - image_start, Memory::kNormal);
  space.MapIdentity(blob, TreeSize(blob), Memory::kNormal);
  space.Enable();

  const DeviceTree tree(reinterpret_cast<const void*>(blob));
  if (!tree.valid()) Halt();
  const Psci psci(ReadConduit(tree));
  const UartFacts uart = ReadUart(tree);
  space.MapIdentity(uart.registers.start, uart.registers.size, Memory::kDevice);
  const Console console{Pl011(uart.registers.start)};
  ReportFailuresTo(console, psci);

  const Board board = ReadBoard(tree);
  for (const PhysicalRange& bank : board.memory) {
    space.MapIdentity(bank.start, bank.size, Memory::kNormal);
  }
  MapDevices(space, board);
  static std::optional<GicV2> gic_v2;
  static std::optional<GicV3> gic_v3;
  const bool is_v3 = board.gic.version == 3;
  Gic& gic = is_v3 ? static_cast<Gic&>(gic_v3.emplace(board.gic)) : gic_v2.emplace(board.gic);
  Guest guest(board, console, psci, gic, space);
  Run(guest);
  Halt();
}

}  // namespace guest
