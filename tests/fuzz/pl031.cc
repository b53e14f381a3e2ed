// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: what a guest does to a PL031's registers, and what becomes of the host's clock
// meanwhile, in steps of 8 bytes. Its line must always be what its registers say.
#include "devices/pl031.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

using namespace microvm;

struct ClockStep {
  enum Kind : std::uint8_t { kWrite, kRead, kAdvance, kSet, kAlarm, kKinds };
  std::uint8_t kind;
  std::uint8_t width;
  std::uint16_t offset;
  std::uint32_t value;
};

class Line final : public IrqLine {
 public:
  void Set(bool high) noexcept override {
    if (high == is_high) __builtin_trap();
    is_high = high;
  }
  bool is_high = false;
};

class Clock final : public WallClock {
 public:
  [[nodiscard]] std::int64_t Now() const noexcept override { return now; }
  void SetAlarm(std::optional<std::int64_t> at) noexcept override { alarm = at; }
  std::int64_t now = 1;
  std::optional<std::int64_t> alarm;
};

struct Rtc {
  void Do(const ClockStep& step) {
    std::array<std::byte, 8> data{};
    StoreRegister(data, step.value);
    const std::size_t width = std::size_t{1} << (step.width % 4);
    switch (step.kind % ClockStep::kKinds) {
      case ClockStep::kWrite:
        device.Write(step.offset % 0x1000, std::span(data).first(width));
        break;
      case ClockStep::kRead:
        device.Read(step.offset % 0x1000, std::span(data).first(width));
        break;
      case ClockStep::kAdvance:
        clock.now += step.value;
        break;
      case ClockStep::kSet:
        clock.now = step.value;
        break;
      default:
        if (clock.alarm && clock.now >= *clock.alarm) device.OnAlarm();
        break;
    }
  }
  void Check() {
    constexpr std::uint64_t kMaskedStatus = 0x18;
    std::array<std::byte, 4> status{};
    if (device.Read(kMaskedStatus, status) != MmioResult::kOk) __builtin_trap();
    if ((LoadRegister(status) != 0) != line.is_high) __builtin_trap();
  }

  Line line;
  Clock clock;
  Pl031 device{line, clock};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Rtc rtc;
  for (std::size_t at = 0; at + sizeof(ClockStep) <= size; at += sizeof(ClockStep)) {
    ClockStep step{};
    std::memcpy(&step, data + at, sizeof(step));
    rtc.Do(step);
    rtc.Check();
  }
  return 0;
}
