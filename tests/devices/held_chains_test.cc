// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/held_chains.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

namespace microvm {
namespace {

using Bytes = std::array<std::byte, 64>;

iovec Piece(Bytes& bytes, std::size_t length) { return {bytes.data(), length}; }

TEST_CASE("held chains are served in their order, piece by piece") {
  Bytes bytes{};
  HeldChains chains;
  CHECK_FALSE(chains.waits());
  CHECK_FALSE(chains.TakeEnded().has_value());
  const std::vector<iovec> two = {Piece(bytes, 4), Piece(bytes, 8)};
  CHECK(chains.Hold(7, two));
  CHECK(chains.Hold(3, std::span(two).first(1)));
  CHECK(chains.piece().size() == 4);
  chains.Advance(1);
  CHECK(chains.piece().data() == &bytes[1]);
  CHECK(chains.piece().size() == 3);
  chains.Advance(3);
  CHECK(chains.piece().size() == 8);
  CHECK_FALSE(chains.TakeEnded().has_value());
  chains.Advance(8);
  CHECK(chains.piece().size() == 4);
  const auto ended = chains.TakeEnded();
  REQUIRE(ended.has_value());
  CHECK(ended->head == 7);
  CHECK(ended->written_bytes == 12);
  CHECK(chains.waits());
  chains.Advance(4);
  CHECK_FALSE(chains.waits());
  CHECK(chains.TakeEnded()->head == 3);
  CHECK_FALSE(chains.TakeEnded().has_value());
}

TEST_CASE("a chain that was begun can be ended with pieces left, another cannot") {
  Bytes bytes{};
  HeldChains chains;
  chains.EndStarted();
  const std::vector<iovec> two = {Piece(bytes, 4), Piece(bytes, 8)};
  CHECK(chains.Hold(1, two));
  CHECK(chains.Hold(2, two));
  chains.EndStarted();
  CHECK_FALSE(chains.TakeEnded().has_value());
  chains.Advance(4);
  chains.EndStarted();
  CHECK(chains.TakeEnded()->written_bytes == 4);
  CHECK(chains.piece().size() == 4);
  chains.EndStarted();
  CHECK_FALSE(chains.TakeEnded().has_value());
}

TEST_CASE("no more pieces are held than a queue has descriptors") {
  Bytes bytes{};
  const auto chains = std::make_unique<HeldChains>();
  const std::vector<iovec> all(SplitQueue::kMaximumSize, Piece(bytes, 1));
  CHECK(chains->Hold(0, std::span(all).first(200)));
  CHECK_FALSE(chains->Hold(1, std::span(all).first(57)));
  CHECK(chains->Hold(1, std::span(all).first(56)));
  CHECK_FALSE(chains->Hold(2, std::span(all).first(1)));
  // Wherever in the ring they are.
  chains->Clear();
  for (std::uint16_t round = 0; round < 300; ++round) {
    CHECK(chains->Hold(round, std::span(all).first(3)));
    for (int piece = 0; piece < 3; ++piece) chains->Advance(1);
    CHECK(chains->TakeEnded()->head == round);
  }
  CHECK(chains->Hold(0, std::span(all).first(255)));
  CHECK_FALSE(chains->Hold(1, std::span(all).first(2)));
  chains->Clear();
  CHECK_FALSE(chains->waits());
  CHECK(chains->Hold(0, all));
}

TEST_CASE(
    "as many chains of one piece are held as a queue has entries, also when they have ended") {
  Bytes bytes{};
  const auto chains = std::make_unique<HeldChains>();
  const std::vector<iovec> one = {Piece(bytes, 1)};
  for (std::uint16_t head = 0; head < SplitQueue::kMaximumSize; ++head) {
    CHECK(chains->Hold(head, one));
  }
  chains->Advance(1);
  CHECK_FALSE(chains->Hold(0, one));
  CHECK(chains->TakeEnded()->head == 0);
  CHECK(chains->Hold(0, one));
}

}  // namespace
}  // namespace microvm
