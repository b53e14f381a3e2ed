// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "vmm/config/gpio_config.h"

namespace microvm {

// Edges that were taken from a line.
struct GpioEvents {
  GpioEdges edges = GpioEdges::kNone;
  unsigned count = 0;
  bool gone = false;  // the host has removed the chip: there will be no more
};

// A line of a GPIO chip that we have to ourselves: the seam between the devices and the host. Any
// thread, but no two at once. A call takes as long as the chip's own bus does, which is no time for
// a chip of the SoC. What is false or nothing, the host did not do.
class GpioLine {
 public:
  GpioLine() = default;
  GpioLine(const GpioLine&) = delete;
  GpioLine& operator=(const GpioLine&) = delete;
  GpioLine(GpioLine&&) = delete;
  GpioLine& operator=(GpioLine&&) = delete;
  virtual ~GpioLine() = default;

  // An input whose edges of these kinds are kept from now on, until they are taken; a bounded
  // number of them, the oldest of which are lost first.
  [[nodiscard]] virtual bool MakeInput(GpioEdges watched) noexcept = 0;
  // An output, which has this value from its first moment.
  [[nodiscard]] virtual bool MakeOutput(bool high) noexcept = 0;
  // Changes the value of an output.
  [[nodiscard]] virtual bool Drive(bool high) noexcept = 0;
  [[nodiscard]] virtual std::optional<bool> Read() noexcept = 0;

  // Takes edges that have been seen, at most kEventsTaken.
  virtual GpioEvents TakeEvents() noexcept = 0;
  static constexpr unsigned kEventsTaken = 16;
};

}  // namespace microvm
