// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "devices/gpio/gpio_pin.h"
#include "devices/irq_line.h"
#include "devices/mmio_device.h"

namespace microvm {

// What a PL061 has counted since it was made.
struct Pl061Counts {
  std::uint64_t edges = 0;       // of the host's lines
  std::uint64_t interrupts = 0;  // times its own line went high
  std::uint64_t errors = 0;      // what a line does not allow, or the host did not do
};

// An Arm PrimeCell GPIO (PL061; Arm DDI 0190, chapter 3) whose lines are the host's; those it has
// fewer than eight read as low. What a line does not allow has no effect: its bit in GPIODIR stays
// as it is. Edges are looked for from the first time that a line's interrupt is enabled; a level is
// made of the line's edges and its value. Mode control (GPIOAFSEL) is kept and does nothing.
//
// A reset leaves the lines as they were found, which GPIODIR shows. The MMIO face is called by vCPU
// threads, the rest by the event loop; one lock guards all state. An access takes as long as the
// host's chip does.
class Pl061 final : public MmioDevice {
 public:
  // At most kPl061Lines.
  Pl061(std::string name, std::vector<GpioPin> pins);

  [[nodiscard]] std::string_view name() const override { return name_; }
  MmioResult Read(std::uint64_t offset, std::span<std::byte> out) noexcept override;
  MmioResult Write(std::uint64_t offset, std::span<const std::byte> in) noexcept override;

  // Its wire from now on; null: none, for a device that has just been reset. The wire outlives
  // that.
  void Connect(IrqLine* line) noexcept;
  void Reset() noexcept;

  // Takes the events that the host has for a line; false if there will be no more, as the host has
  // removed its chip.
  bool TakeEvents(std::size_t line) noexcept;

  [[nodiscard]] Pl061Counts counts() const;

 private:
  [[nodiscard]] std::uint8_t ReadRegister(std::uint64_t offset, bool& known) noexcept;
  [[nodiscard]] bool WriteRegister(std::uint64_t offset, std::uint8_t value) noexcept;
  [[nodiscard]] std::uint8_t ReadData(std::uint8_t mask) noexcept;
  void WriteData(std::uint8_t mask, std::uint8_t value) noexcept;
  void WriteDirection(std::uint8_t value) noexcept;
  void UpdateWatches() noexcept;
  [[nodiscard]] GpioEdges WantedEdges(std::size_t line) const noexcept;
  [[nodiscard]] std::uint8_t RawInterrupts() noexcept;
  void UpdateLine() noexcept;

  const std::string name_;
  mutable std::mutex mutex_;  // guards all below
  std::vector<GpioPin> pins_;
  IrqLine* line_ = nullptr;
  bool line_high_ = false;
  // One bit a line, named as the registers.
  std::uint8_t output_ = 0;  // what GPIODATA was last written, for lines that are or become outputs
  std::uint8_t direction_ = 0;
  std::uint8_t level_ = 0;        // GPIOIS
  std::uint8_t both_edges_ = 0;   // GPIOIBE
  std::uint8_t rising_high_ = 0;  // GPIOIEV
  std::uint8_t enabled_ = 0;      // GPIOIE
  std::uint8_t latched_ = 0;      // edges that were not cleared, of GPIORIS
  std::uint8_t mode_ = 0;         // GPIOAFSEL
  std::uint8_t looked_for_ = 0;   // lines whose interrupt has been enabled since the reset
  std::array<GpioEdges, kPl061Lines> watched_{};
  Pl061Counts counts_;
};

}  // namespace microvm
