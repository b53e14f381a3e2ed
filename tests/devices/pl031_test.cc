// SPDX-License-Identifier: Apache-2.0
#include "devices/pl031.h"

#include <doctest/doctest.h>

#include <array>

#include "tests/devices/recording_device.h"

namespace microvm {
namespace {

using fakes::RecordingLine;

constexpr std::uint64_t kDr = 0x00;
constexpr std::uint64_t kMr = 0x04;
constexpr std::uint64_t kLr = 0x08;
constexpr std::uint64_t kCr = 0x0c;
constexpr std::uint64_t kImsc = 0x10;
constexpr std::uint64_t kRawStatus = 0x14;
constexpr std::uint64_t kMaskedStatus = 0x18;
constexpr std::uint64_t kIcr = 0x1c;

constexpr std::int64_t kNow = 1'700'000'000;

class SetClock final : public WallClock {
 public:
  [[nodiscard]] std::int64_t Now() const noexcept override { return now; }
  void SetAlarm(std::optional<std::int64_t> at) noexcept override { alarm = at; }

  std::int64_t now = kNow;
  std::optional<std::int64_t> alarm;
};

struct RtcGuest {
  std::uint32_t Read(std::uint64_t offset) {
    std::array<std::byte, 4> data{};
    CHECK(rtc.Read(offset, data) == MmioResult::kOk);
    return static_cast<std::uint32_t>(LoadRegister(data));
  }
  MmioResult Write(std::uint64_t offset, std::uint64_t value, std::size_t width = 4) {
    std::array<std::byte, 8> data{};
    StoreRegister(data, value);
    return rtc.Write(offset, std::span(data).first(width));
  }
  // The host's clock shows this, and the loop looks if an alarm is due.
  void Pass(std::int64_t now) {
    clock.now = now;
    if (clock.alarm && now >= *clock.alarm) rtc.OnAlarm();
  }

  RecordingLine line;
  SetClock clock;
  Pl031 rtc{line, clock};
};

TEST_CASE("a PL031 shows the host's time, and has its reset values") {
  RtcGuest guest;
  CHECK(guest.Read(kDr) == kNow);
  guest.clock.now += 5;
  CHECK(guest.Read(kDr) == kNow + 5);
  CHECK(guest.Read(kCr) == 1);
  for (const std::uint64_t offset : {kMr, kLr, kImsc, kRawStatus, kMaskedStatus, kIcr}) {
    CHECK(guest.Read(offset) == 0);
  }
  const std::array<std::uint32_t, 8> identification = {0x31, 0x10, 0x04, 0, 0x0d, 0xf0, 0x05, 0xb1};
  for (std::size_t index = 0; index < identification.size(); ++index) {
    CHECK(guest.Read(0xfe0 + 4 * index) == identification[index]);
  }
}

TEST_CASE("registers that a PL031 does not have, and odd accesses, are refused") {
  RtcGuest guest;
  std::array<std::byte, 8> data{};
  CHECK(guest.rtc.Read(0x20, std::span(data).first(4)) == MmioResult::kBadAccess);
  CHECK(guest.rtc.Read(0xfdc, std::span(data).first(4)) == MmioResult::kBadAccess);
  CHECK(guest.rtc.Read(0x02, std::span(data).first(2)) == MmioResult::kBadAccess);
  CHECK(guest.rtc.Read(0x00, data) == MmioResult::kBadAccess);
  CHECK(guest.Write(kMr, 1, 2) == MmioResult::kBadAccess);
  CHECK(guest.Write(0x20, 1) == MmioResult::kBadAccess);
  CHECK(guest.Write(0xfe0, 1) == MmioResult::kBadAccess);
  // Those that are only read take no notice.
  for (const std::uint64_t offset : {kDr, kCr, kRawStatus, kMaskedStatus}) {
    CHECK(guest.Write(offset, 0) == MmioResult::kOk);
  }
  CHECK(guest.Read(kDr) == kNow);
  CHECK(guest.Read(kCr) == 1);
}

TEST_CASE("an alarm raises the line when its second comes, until it is cleared") {
  RtcGuest guest;
  guest.Write(kMr, kNow + 10);
  guest.Write(kImsc, 1);
  CHECK(guest.Read(kMr) == kNow + 10);
  REQUIRE(guest.clock.alarm.has_value());
  CHECK(*guest.clock.alarm == kNow + 10);
  guest.Pass(kNow + 9);
  CHECK_FALSE(guest.line.high());
  guest.Pass(kNow + 10);
  CHECK(guest.line.high());
  CHECK(guest.Read(kRawStatus) == 1);
  CHECK(guest.Read(kMaskedStatus) == 1);
  CHECK_FALSE(guest.clock.alarm.has_value());
  CHECK(guest.Write(kIcr, 0) == MmioResult::kOk);
  CHECK(guest.line.high());
  guest.Write(kIcr, 1);
  CHECK_FALSE(guest.line.high());
  CHECK(guest.Read(kRawStatus) == 0);
  // Once.
  guest.rtc.OnAlarm();
  CHECK_FALSE(guest.line.high());
  CHECK(guest.rtc.matches() == 1);
}

TEST_CASE("a match with the present second is one at once") {
  RtcGuest guest;
  guest.Write(kImsc, 1);
  guest.Write(kMr, kNow);
  CHECK(guest.line.high());
  CHECK_FALSE(guest.clock.alarm.has_value());
}

TEST_CASE("a mask keeps an alarm from the line, and not from the raw status") {
  RtcGuest guest;
  guest.Write(kMr, kNow + 1);
  guest.Pass(kNow + 1);
  CHECK_FALSE(guest.line.high());
  CHECK(guest.Read(kRawStatus) == 1);
  CHECK(guest.Read(kMaskedStatus) == 0);
  guest.Write(kImsc, UINT32_MAX);
  CHECK(guest.Read(kImsc) == 1);
  CHECK(guest.line.high());
  guest.Write(kImsc, 0);
  CHECK_FALSE(guest.line.high());
}

TEST_CASE("what a guest loads moves its own clock, its alarm with it") {
  RtcGuest guest;
  guest.Write(kMr, 1'000'000'100);
  guest.Write(kImsc, 1);
  guest.Write(kLr, 1'000'000'000);
  CHECK(guest.Read(kLr) == 1'000'000'000);
  CHECK(guest.Read(kDr) == 1'000'000'000);
  CHECK(guest.clock.now == kNow);
  CHECK(*guest.clock.alarm == kNow + 100);
  guest.Pass(kNow + 40);
  CHECK(guest.Read(kDr) == 1'000'000'040);
  CHECK_FALSE(guest.line.high());
  guest.Pass(kNow + 100);
  CHECK(guest.line.high());
  // Later again, by what it shows now.
  guest.Write(kLr, 2'000'000'000);
  CHECK(guest.Read(kDr) == 2'000'000'000);
}

TEST_CASE("a match that lies behind comes when the counter has wrapped") {
  RtcGuest guest;
  guest.Write(kMr, kNow - 1);
  CHECK(*guest.clock.alarm == kNow + UINT32_MAX);
  CHECK(guest.Read(kRawStatus) == 0);
  guest.Pass(kNow + UINT32_MAX);
  CHECK(guest.Read(kRawStatus) == 1);
  CHECK(guest.Read(kDr) == static_cast<std::uint32_t>(kNow - 1));
}

TEST_CASE("an alarm that was set anew does not come at the time of the old one") {
  RtcGuest guest;
  guest.Write(kImsc, 1);
  guest.Write(kMr, kNow + 10);
  guest.Write(kMr, kNow + 20);
  guest.clock.now = kNow + 10;
  guest.rtc.OnAlarm();  // of the old one, already on its way
  CHECK_FALSE(guest.line.high());
  guest.Pass(kNow + 20);
  CHECK(guest.line.high());
}

TEST_CASE("an alarm that the host's clock was set past comes then") {
  RtcGuest guest;
  guest.Write(kImsc, 1);
  guest.Write(kMr, kNow + 10);
  guest.Pass(kNow + 5000);
  CHECK(guest.line.high());
}

}  // namespace
}  // namespace microvm
