// SPDX-License-Identifier: Apache-2.0
#include "hostile_places.h"

#include <array>

namespace guest {
namespace {

bool Overlaps(std::uint64_t page, const PhysicalRange& range) {
  return page < range.end() && range.start < page + kPageSize;
}

template <typename Ranges>
bool OverlapsAny(std::uint64_t page, const Ranges& ranges) {
  for (const PhysicalRange& range : ranges) {
    if (Overlaps(page, range)) return true;
  }
  return false;
}

void AddIfEmpty(Places& places, const Board& board, std::uint64_t address) {
  const std::uint64_t page = address & ~(kPageSize - 1);
  if (Overlaps(page, board.uart.registers) || Overlaps(page, board.gic.distributor)) return;
  if (OverlapsAny(page, board.gic.others) || OverlapsAny(page, board.device.regions)) return;
  if (OverlapsAny(page, board.memory)) return;
  for (const std::uint64_t known : places) {
    if (known == page) return;
  }
  places.Add(page);
}

}  // namespace

Places EmptyPages(const Board& board) {
  Places places;
  AddIfEmpty(places, board, board.uart.registers.end());
  AddIfEmpty(places, board, board.gic.distributor.end());
  for (const PhysicalRange& region : board.gic.others) AddIfEmpty(places, board, region.end());
  for (const PhysicalRange& region : board.device.regions) AddIfEmpty(places, board, region.end());
  for (const PhysicalRange& bank : board.memory) {
    AddIfEmpty(places, board, bank.end());
    if (bank.start >= kPageSize) AddIfEmpty(places, board, bank.start - kPageSize);
  }
  // The corners of 32-, 36-, 40- and 44-bit address spaces.
  constexpr std::array<std::uint64_t, 5> kCorners{0, 0xffff'f000, 0xf'ffff'f000, 0xff'ffff'f000,
                                                  0xfff'ffff'f000};
  for (const std::uint64_t corner : kCorners) AddIfEmpty(places, board, corner);
  return places;
}

Places AbsentRedistributors(const Board& board) {
  Places places;
  if (board.gic.version != 3 || board.gic.others.size() != 1) return places;
  constexpr std::uint64_t kTwoFrames = 0x2'0000;  // GICv3: control frame, private interrupts
  constexpr std::uint64_t kSecondFrame = 0x1'0000;
  const std::uint64_t end = board.gic.others[0].start + board.cpus.size() * kTwoFrames;
  for (std::uint64_t beyond = 0; beyond < 3; ++beyond) {
    places.Add(end + beyond * kTwoFrames);
    places.Add(end + beyond * kTwoFrames + kSecondFrame);
  }
  return places;
}

}  // namespace guest
