// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "devices/gpio/gpio_line.h"

namespace microvm {

// A line as the guest has it: inside what the configuration allows, and as it was found when the
// guest lets go of it. What is denied does not reach the line. Threads: as a GpioLine.
class GpioPin {
 public:
  // How the line was when it was requested.
  struct Found {
    bool output = false;
    bool high = false;
  };

  GpioPin(std::unique_ptr<GpioLine> line, const GpioLineConfig& allowed, Found found)
      : line_(std::move(line)),
        direction_(allowed.direction),
        edges_(allowed.edges),
        found_(found),
        is_output_(found.output) {}

  [[nodiscard]] bool is_output() const { return is_output_; }
  // Of an output that was found as one; low for others.
  [[nodiscard]] bool found_high() const { return found_.output && found_.high; }
  [[nodiscard]] bool MayBeOutput() const { return direction_ != GpioDirection::kIn; }
  [[nodiscard]] bool MayBeInput() const { return direction_ != GpioDirection::kOut; }
  [[nodiscard]] bool MayWatch(GpioEdges edges) const {
    return MayBeInput() && (edges & edges_) == edges;
  }

  // False: denied, or refused by the host.
  [[nodiscard]] bool MakeInput() noexcept { return Watch(GpioEdges::kNone); }
  [[nodiscard]] bool MakeOutput(bool high) noexcept;
  [[nodiscard]] bool Drive(bool high) noexcept;
  // Makes it an input, whose edges of these kinds are kept.
  [[nodiscard]] bool Watch(GpioEdges edges) noexcept;
  [[nodiscard]] std::optional<bool> Read() noexcept { return line_->Read(); }
  GpioEvents TakeEvents() noexcept { return line_->TakeEvents(); }

  // The guest lets go of it: its direction, and an output's value, are as they were found.
  void Restore() noexcept;

 private:
  std::unique_ptr<GpioLine> line_;
  GpioDirection direction_;
  GpioEdges edges_;
  Found found_;
  bool is_output_;
  bool is_changed_ = false;  // by the guest, perhaps: the host may do a part of what it refuses
};

}  // namespace microvm
