// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <array>

#include "tests/devices/pl011_guest.h"

namespace microvm {
namespace {

using fakes::Pl011Guest;
using namespace fakes::pl011;  // NOLINT(google-build-using-namespace): register names

TEST_CASE("received bytes raise the line only while their interrupt is unmasked") {
  Pl011Guest guest;
  guest.Receive("a");
  CHECK((guest.Read(kRis) & kReceive) != 0);
  CHECK(guest.Read(kMis) == 0);
  CHECK_FALSE(guest.line.high());
  guest.Write(kImsc, kReceive);
  CHECK(guest.line.high());
  CHECK(guest.Read(kMis) == kReceive);
  guest.Write(kImsc, 0);
  CHECK_FALSE(guest.line.high());
}

TEST_CASE("the line changes only when it has to") {
  Pl011Guest guest;
  guest.Write(kLcrH, kFifoEnable);
  guest.Write(kImsc, kReceive | kTimeout);
  guest.Receive("a");
  guest.Receive("b");
  guest.Receive("c");
  CHECK(guest.line.changes() == 1);
  guest.Read(kDr);
  CHECK(guest.line.changes() == 1);
  guest.Read(kDr);
  guest.Read(kDr);
  CHECK(guest.line.changes() == 2);
  CHECK_FALSE(guest.line.high());
}

TEST_CASE("the receive interrupt comes at its trigger level and goes below it") {
  constexpr std::array<std::size_t, 5> kLevels = {2, 4, 8, 12, 14};
  for (std::uint32_t select = 0; select < kLevels.size(); ++select) {
    CAPTURE(select);
    const std::size_t level = kLevels[select];
    Pl011Guest guest;
    guest.Write(kLcrH, kFifoEnable);
    guest.Write(kIfls, select << 3);
    guest.Receive(std::string(level - 1, 'x'));
    CHECK((guest.Read(kRis) & kReceive) == 0);
    CHECK((guest.Read(kRis) & kTimeout) != 0);
    guest.Receive("x");
    CHECK((guest.Read(kRis) & kReceive) != 0);
    guest.Read(kDr);
    CHECK((guest.Read(kRis) & kReceive) == 0);
    CHECK((guest.Read(kRis) & kTimeout) != 0);
  }
}

TEST_CASE("the time-out ends with the last byte") {
  Pl011Guest guest;
  guest.Write(kLcrH, kFifoEnable);
  guest.Write(kImsc, kTimeout);
  guest.Receive("ab");
  guest.Read(kDr);
  CHECK(guest.line.high());
  guest.Read(kDr);
  CHECK_FALSE(guest.line.high());
}

TEST_CASE("lowering the trigger level below what has come raises the interrupt") {
  Pl011Guest guest;
  guest.Write(kLcrH, kFifoEnable);
  guest.Write(kIfls, 4U << 3);
  guest.Write(kImsc, kReceive);
  guest.Receive("abcd");
  CHECK_FALSE(guest.line.high());
  guest.Write(kIfls, 1U << 3);
  CHECK(guest.line.high());
}

TEST_CASE("sending raises the transmit interrupt, clearing it lowers the line") {
  Pl011Guest guest;
  guest.Write(kImsc, kTransmit);
  CHECK_FALSE(guest.line.high());
  guest.Write(kDr, 'a');
  CHECK(guest.line.high());
  guest.Write(kIcr, kTransmit);
  CHECK_FALSE(guest.line.high());
  CHECK(guest.Read(kRis) == 0);
  guest.Write(kDr, 'b');
  CHECK(guest.line.high());
}

TEST_CASE("clearing one interrupt leaves the others") {
  Pl011Guest guest;
  guest.Write(kImsc, 0x7ff);
  guest.Write(kDr, 'a');
  guest.Receive("b");
  guest.Write(kIcr, kTransmit);
  CHECK(guest.Read(kRis) == (kReceive | kTimeout));
  CHECK(guest.line.high());
  guest.Write(kIcr, 0x7ff);
  CHECK_FALSE(guest.line.high());
}

TEST_CASE("a full transmit FIFO interrupts when it has room again") {
  Pl011Guest guest;
  guest.Write(kImsc, kTransmit);
  for (int count = 0; count < 4096; ++count) guest.Write(kDr, 'x');
  guest.Write(kIcr, kTransmit);
  CHECK_FALSE(guest.line.high());
  CHECK(guest.Transmitted(1).size() == 1);
  CHECK(guest.line.high());
}

TEST_CASE("taking from a FIFO that was not full interrupts nobody") {
  Pl011Guest guest;
  guest.Write(kImsc, kTransmit);
  guest.Write(kDr, 'x');
  guest.Write(kIcr, kTransmit);
  CHECK(guest.Transmitted() == "x");
  CHECK_FALSE(guest.line.high());
}

TEST_CASE("offering nothing interrupts nobody") {
  Pl011Guest guest;
  guest.Write(kImsc, 0x7ff);
  CHECK(guest.Receive("") == 0);
  CHECK_FALSE(guest.line.high());
}

}  // namespace
}  // namespace microvm
