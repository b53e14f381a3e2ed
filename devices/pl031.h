// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>

#include "devices/irq_line.h"
#include "devices/mmio_device.h"

namespace microvm {

// The host's wall clock, as a Pl031 needs it. Any thread; neither call blocks.
class WallClock {
 public:
  WallClock() = default;
  WallClock(const WallClock&) = delete;
  WallClock& operator=(const WallClock&) = delete;
  WallClock(WallClock&&) = delete;
  WallClock& operator=(WallClock&&) = delete;
  virtual ~WallClock() = default;

  // Seconds since 1970.
  [[nodiscard]] virtual std::int64_t Now() const noexcept = 0;
  // Has Pl031::OnAlarm called when the clock shows this, or has passed it; at no time with nothing.
  virtual void SetAlarm(std::optional<std::int64_t> at) noexcept = 0;
};

// An Arm PrimeCell real-time clock (PL031) r1p3 (Arm DDI 0224, chapter 3): a counter of seconds
// that follows the host's wall clock, also where that is set, and an interrupt when it has come to
// be the match register's value. What a guest writes to the load register moves its own counter
// only. The counter runs from the start, as if firmware had enabled it.
//
// The MMIO face is called by vCPU threads, OnAlarm by the event loop; one lock guards all state.
class Pl031 final : public MmioDevice {
 public:
  // `line` and `clock` outlive the device.
  Pl031(IrqLine& line, WallClock& clock) : line_(line), clock_(clock) {}

  [[nodiscard]] std::string_view name() const override { return "pl031"; }
  MmioResult Read(std::uint64_t offset, std::span<std::byte> out) noexcept override;
  MmioResult Write(std::uint64_t offset, std::span<const std::byte> in) noexcept override;

  // The time of the last SetAlarm may have come.
  void OnAlarm() noexcept;

  // How often the counter has come to be the match register's value.
  [[nodiscard]] std::uint64_t matches() const;

 private:
  [[nodiscard]] std::optional<std::uint32_t> ReadRegister(std::uint64_t offset) const noexcept;
  [[nodiscard]] bool WriteRegister(std::uint64_t offset, std::uint32_t value) noexcept;
  [[nodiscard]] std::uint32_t Counter() const noexcept;
  void AwaitMatch() noexcept;
  void Match() noexcept;
  void UpdateLine() noexcept;

  IrqLine& line_;
  WallClock& clock_;
  mutable std::mutex mutex_;  // guards all below
  std::uint32_t ahead_ = 0;   // of the host's clock, modulo 2^32
  std::uint32_t match_ = 0;
  std::uint32_t load_ = 0;
  std::uint32_t interrupt_mask_ = 0;
  std::uint32_t raw_interrupt_ = 0;
  bool line_high_ = false;
  std::optional<std::int64_t> match_time_;  // by the host's clock; nothing: not awaited
  std::uint64_t matches_ = 0;
};

}  // namespace microvm
