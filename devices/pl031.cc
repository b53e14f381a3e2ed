// SPDX-License-Identifier: Apache-2.0
#include "devices/pl031.h"

#include <array>

namespace microvm {
namespace {

// Register offsets (Arm DDI 0224, table 3-1).
enum RtcRegister : std::uint64_t {
  kRtcDr = 0x00,
  kRtcMr = 0x04,
  kRtcLr = 0x08,
  kRtcCr = 0x0c,
  kRtcImsc = 0x10,
  kRtcRis = 0x14,
  kRtcMis = 0x18,
  kRtcIcr = 0x1c,
  kRtcPeriphId0 = 0xfe0,
};

constexpr std::uint32_t kRtcStarted = 1;    // RTCCR
constexpr std::uint32_t kRtcInterrupt = 1;  // the one of RTCIMSC, RTCRIS, RTCMIS and RTCICR

// RTCPeriphID0-3 and RTCPCellID0-3: part 0x031, designer Arm.
constexpr std::array<std::uint32_t, 8> kRtcIdentification = {0x31, 0x10, 0x04, 0x00,
                                                             0x0d, 0xf0, 0x05, 0xb1};

}  // namespace

MmioResult Pl031::Read(std::uint64_t offset, std::span<std::byte> out) noexcept {
  if (out.size() > 4 || offset % 4 != 0) return MmioResult::kBadAccess;
  std::optional<std::uint32_t> value;
  {
    const std::scoped_lock lock(mutex_);
    value = ReadRegister(offset);
  }
  if (!value) return MmioResult::kBadAccess;
  StoreRegister(out, *value);
  return MmioResult::kOk;
}

MmioResult Pl031::Write(std::uint64_t offset, std::span<const std::byte> in) noexcept {
  if (in.size() != 4 || offset % 4 != 0) return MmioResult::kBadAccess;
  const std::scoped_lock lock(mutex_);
  return WriteRegister(offset, static_cast<std::uint32_t>(LoadRegister(in)))
             ? MmioResult::kOk
             : MmioResult::kBadAccess;
}

std::optional<std::uint32_t> Pl031::ReadRegister(std::uint64_t offset) const noexcept {
  switch (offset) {
    case kRtcDr:
      return Counter();
    case kRtcMr:
      return match_;
    case kRtcLr:
      return load_;
    case kRtcCr:
      return kRtcStarted;
    case kRtcImsc:
      return interrupt_mask_;
    case kRtcRis:
      return raw_interrupt_;
    case kRtcMis:
      return raw_interrupt_ & interrupt_mask_;
    case kRtcIcr:
      return 0;  // write-only
    default:
      if (offset >= kRtcPeriphId0 && (offset - kRtcPeriphId0) / 4 < kRtcIdentification.size()) {
        return kRtcIdentification[(offset - kRtcPeriphId0) / 4];
      }
      return std::nullopt;
  }
}

bool Pl031::WriteRegister(std::uint64_t offset, std::uint32_t value) noexcept {
  switch (offset) {
    case kRtcMr:
      match_ = value;
      AwaitMatch();
      break;
    case kRtcLr:
      load_ = value;
      ahead_ += value - Counter();
      AwaitMatch();
      break;
    case kRtcCr:
      break;  // 3.3.4: once it is started, writes have no effect
    case kRtcImsc:
      interrupt_mask_ = value & kRtcInterrupt;
      break;
    case kRtcIcr:
      raw_interrupt_ &= ~value;
      break;
    default:
      return offset == kRtcDr || offset == kRtcRis || offset == kRtcMis;  // read-only
  }
  UpdateLine();
  return true;
}

std::uint32_t Pl031::Counter() const noexcept {
  return static_cast<std::uint32_t>(clock_.Now()) + ahead_;
}

// A match that lies behind is one that comes when the counter has wrapped.
void Pl031::AwaitMatch() noexcept {
  const std::uint32_t seconds_left = match_ - Counter();
  if (seconds_left == 0) {
    Match();
    return;
  }
  match_time_ = clock_.Now() + seconds_left;
  clock_.SetAlarm(match_time_);
}

void Pl031::Match() noexcept {
  match_time_.reset();
  clock_.SetAlarm(std::nullopt);
  raw_interrupt_ = kRtcInterrupt;
  ++matches_;
}

void Pl031::OnAlarm() noexcept {
  const std::scoped_lock lock(mutex_);
  // One that was set anew in the meantime is told again.
  if (!match_time_ || clock_.Now() < *match_time_) return;
  Match();
  UpdateLine();
}

std::uint64_t Pl031::matches() const {
  const std::scoped_lock lock(mutex_);
  return matches_;
}

void Pl031::UpdateLine() noexcept {
  const bool high = (raw_interrupt_ & interrupt_mask_) != 0;
  if (high == line_high_) return;
  line_high_ = high;
  line_.Set(high);
}

}  // namespace microvm
