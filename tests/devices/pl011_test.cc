// SPDX-License-Identifier: Apache-2.0
#include "devices/pl011.h"

#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>

#include "tests/devices/pl011_guest.h"

namespace microvm {
namespace {

using fakes::Pl011Guest;
using namespace fakes::pl011;  // NOLINT(google-build-using-namespace): register names

TEST_CASE("a UART just reset has these registers") {
  Pl011Guest guest;
  CHECK(guest.Read(kDr) == 0);
  CHECK(guest.Read(kRsr) == 0);
  CHECK(guest.Read(kFr) == 0x97);  // both FIFOs empty; CTS, DSR and DCD on
  CHECK(guest.Read(kIlpr) == 0);
  CHECK(guest.Read(kIbrd) == 0);
  CHECK(guest.Read(kFbrd) == 0);
  CHECK(guest.Read(kLcrH) == 0);
  CHECK(guest.Read(kCr) == 0x300);
  CHECK(guest.Read(kIfls) == 0x12);
  CHECK(guest.Read(kImsc) == 0);
  CHECK(guest.Read(kRis) == 0);
  CHECK(guest.Read(kMis) == 0);
  CHECK(guest.Read(kIcr) == 0);
  CHECK(guest.Read(kDmacr) == 0);
}

TEST_CASE("registers keep the bits they have") {
  Pl011Guest guest;
  const auto kept = [&](std::uint64_t offset) {
    guest.Write(offset, 0xffff'ffff);
    return guest.Read(offset);
  };
  CHECK(kept(kIlpr) == 0xff);
  CHECK(kept(kIbrd) == 0xffff);
  CHECK(kept(kFbrd) == 0x3f);
  CHECK(kept(kLcrH) == 0xff);
  CHECK(kept(kCr) == 0xffff);
  CHECK(kept(kIfls) == 0x3f);
  CHECK(kept(kImsc) == 0x7ff);
  CHECK(kept(kDmacr) == 0x7);
  CHECK(kept(kRsr) == 0);
}

TEST_CASE("writes to read-only registers are taken and change nothing") {
  Pl011Guest guest;
  for (const std::uint64_t offset : {kFr, kRis, kMis}) {
    const std::uint32_t before = guest.Read(offset);
    guest.Write(offset, 0xffff'ffff);
    CHECK(guest.Read(offset) == before);
  }
}

TEST_CASE("the identification is that of Arm's PL011 r1p4, and cannot be written") {
  Pl011Guest guest;
  constexpr std::array<std::uint32_t, 8> kIds = {0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1};
  for (std::size_t index = 0; index < kIds.size(); ++index) {
    CHECK(guest.Read(0xfe0 + 4 * index) == kIds[index]);
  }
  CHECK(guest.TryWrite(0xfe0, 4, 0) == MmioResult::kBadAccess);
}

TEST_CASE("offsets without a register are refused, and leave the guest's data alone") {
  Pl011Guest guest;
  for (const std::uint64_t offset : {0x08U, 0x0cU, 0x10U, 0x14U, 0x1cU, 0x4cU, 0x80U, 0xfdcU}) {
    CAPTURE(offset);
    std::array<std::byte, 4> data{std::byte{0x5a}};
    CHECK(guest.uart.Read(offset, data) == MmioResult::kBadAccess);
    CHECK(data[0] == std::byte{0x5a});
    CHECK(guest.TryWrite(offset, 4, 1) == MmioResult::kBadAccess);
  }
}

TEST_CASE("registers are reached by 1, 2 or 4 bytes at their own offset only") {
  Pl011Guest guest;
  guest.Write(kCr, 0x1234);
  for (const std::size_t width : {1U, 2U, 4U}) {
    CHECK(guest.TryWrite(kImsc, width, 0x10) == MmioResult::kOk);
    std::array<std::byte, 4> data{};
    CHECK(guest.uart.Read(kCr, std::span(data).first(width)) == MmioResult::kOk);
    CHECK(LoadRegister(data) == (width == 1 ? 0x34 : 0x1234));
  }
  std::array<std::byte, 8> wide{};
  CHECK(guest.uart.Read(kCr, wide) == MmioResult::kBadAccess);
  CHECK(guest.TryWrite(kCr, 8, 0) == MmioResult::kBadAccess);
  CHECK(guest.TryWrite(kCr + 1, 1, 0) == MmioResult::kBadAccess);
  CHECK(guest.TryWrite(kCr + 2, 2, 0) == MmioResult::kBadAccess);
}

TEST_CASE("what the guest writes comes out in its order, eight bits each") {
  Pl011Guest guest;
  for (const char c : std::string("hello")) guest.Write(kDr, static_cast<std::uint8_t>(c));
  guest.Write(kDr, 0xffffff21);
  CHECK(guest.Transmitted() == "hello!");
  CHECK(guest.Transmitted().empty());
}

TEST_CASE("the host is told once that there is something to send, until it has taken all") {
  Pl011Guest guest;
  guest.Write(kDr, 'a');
  guest.Write(kDr, 'b');
  CHECK(guest.host.transmit == 1);
  std::array<std::uint8_t, 1> one{};
  CHECK(guest.uart.TakeTransmitted(one) == 1);
  guest.Write(kDr, 'c');
  CHECK(guest.host.transmit == 1);  // the host knows that it has to come again
  CHECK(guest.Transmitted() == "bc");
  guest.Write(kDr, 'd');
  CHECK(guest.host.transmit == 2);
}

TEST_CASE("a host that takes nothing fills the FIFO, and the guest sees it") {
  Pl011Guest guest;
  for (int count = 0; count < 4095; ++count) guest.Write(kDr, 'x');
  CHECK((guest.Read(kFr) & (kTxFull | kTxEmpty)) == kTxEmpty);
  guest.Write(kDr, 'y');
  CHECK((guest.Read(kFr) & (kTxFull | kTxEmpty)) == kTxFull);
  guest.Write(kDr, 'z');  // the guest was told; it is lost
  const std::string out = guest.Transmitted();
  CHECK(out.size() == 4096);
  CHECK(out.back() == 'y');
  CHECK((guest.Read(kFr) & (kTxFull | kTxEmpty)) == kTxEmpty);
}

TEST_CASE("without FIFOs one byte is received at a time") {
  Pl011Guest guest;
  CHECK(guest.Receive("ab") == 1);
  CHECK((guest.Read(kFr) & (kRxEmpty | kRxFull)) == kRxFull);
  CHECK(guest.Read(kDr) == 'a');
  CHECK((guest.Read(kFr) & (kRxEmpty | kRxFull)) == kRxEmpty);
  CHECK(guest.Read(kDr) == 0);
}

TEST_CASE("with FIFOs sixteen bytes are received, in their order") {
  Pl011Guest guest;
  guest.Write(kLcrH, kFifoEnable);
  CHECK(guest.Receive("0123456789abcdefgh") == 16);
  CHECK((guest.Read(kFr) & kRxFull) != 0);
  CHECK(guest.Receive("x") == 0);
  for (const char c : std::string("0123456789abcdef")) {
    CHECK(guest.Read(kDr) == static_cast<std::uint8_t>(c));
  }
  CHECK((guest.Read(kFr) & kRxEmpty) != 0);
}

TEST_CASE("the host is asked for more when the FIFO is half empty, once") {
  Pl011Guest guest;
  guest.Write(kLcrH, kFifoEnable);
  guest.Receive("0123456789abcdefgh");
  for (int count = 0; count < 7; ++count) guest.Read(kDr);
  CHECK(guest.host.receive == 0);
  guest.Read(kDr);
  CHECK(guest.host.receive == 1);
  guest.Read(kDr);
  CHECK(guest.host.receive == 1);
}

TEST_CASE("a host that gave all it had is not asked for more") {
  Pl011Guest guest;
  guest.Write(kLcrH, kFifoEnable);
  guest.Receive("ab");
  guest.Read(kDr);
  guest.Read(kDr);
  CHECK(guest.host.receive == 0);
}

TEST_CASE("whatever a guest does, flags, interrupts and line agree with each other") {
  std::mt19937 random(20260102);
  Pl011Guest guest;
  std::uint64_t written = 0;
  std::uint64_t taken = 0;
  for (int step = 0; step < 50'000; ++step) {
    const auto value = static_cast<std::uint32_t>(random());
    switch (random() % 8) {
      case 0:
        if ((guest.Read(kFr) & kTxFull) == 0) ++written;
        guest.Write(kDr, value);
        break;
      case 1:
        taken += guest.Transmitted(random() % 40).size();
        break;
      case 2:
        guest.Receive(std::string(random() % 20, 'r'));
        break;
      case 3:
        guest.Read(kDr);
        break;
      default:
        // Odd offsets and widths too.
        guest.TryWrite(random() % 4 == 0 ? random() % 0x1000 : random() % 19 * 4,
                       std::size_t{1} << random() % 4, value);
        break;
    }
    const std::uint32_t flags = guest.Read(kFr);
    REQUIRE((flags & (kRxEmpty | kRxFull)) != (kRxEmpty | kRxFull));
    REQUIRE(((flags & kTxFull) != 0) != ((flags & kTxEmpty) != 0));
    REQUIRE(guest.Read(kMis) == (guest.Read(kRis) & guest.Read(kImsc)));
    REQUIRE(guest.line.high() == (guest.Read(kMis) != 0));
    REQUIRE(taken <= written + static_cast<std::uint64_t>(step));
  }
}

}  // namespace
}  // namespace microvm
