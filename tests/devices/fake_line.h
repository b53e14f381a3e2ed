// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include "devices/gpio/gpio_pin.h"

namespace microvm::fakes {

// A line of a chip, as somebody at its other end has it.
struct Wire {
  bool output = false;  // we drive it
  bool high = false;    // by us or by the other end
  GpioEdges watched = GpioEdges::kNone;
  GpioEvents events = {};  // not taken yet
  bool works = true;       // the host does what it is asked for
  unsigned changes = 0;    // of direction, edges or value, that the host was asked for

  // The other end pulls it.
  void Pull(bool to_high) {
    if (output || high == to_high) return;
    high = to_high;
    const GpioEdges edge = high ? GpioEdges::kRising : GpioEdges::kFalling;
    if ((edge & watched) == GpioEdges::kNone) return;
    events.edges = events.edges | edge;
    ++events.count;
  }
};

class FakeLine final : public GpioLine {
 public:
  explicit FakeLine(Wire& wire) : wire_(wire) {}

  bool MakeInput(GpioEdges watched) noexcept override {
    ++wire_.changes;
    if (!wire_.works) return false;
    wire_.output = false;
    wire_.watched = watched;
    return true;
  }
  bool MakeOutput(bool high) noexcept override {
    ++wire_.changes;
    if (!wire_.works) return false;
    wire_.output = true;
    wire_.watched = GpioEdges::kNone;
    wire_.high = high;
    return true;
  }
  bool Drive(bool high) noexcept override {
    ++wire_.changes;
    if (!wire_.works || !wire_.output) return false;
    wire_.high = high;
    return true;
  }
  std::optional<bool> Read() noexcept override {
    return wire_.works ? std::optional(wire_.high) : std::nullopt;
  }
  GpioEvents TakeEvents() noexcept override {
    const GpioEvents taken = wire_.events;
    wire_.events = {.gone = taken.gone};
    return taken;
  }

 private:
  Wire& wire_;
};

inline GpioPin MakePin(Wire& wire, const GpioLineConfig& allowed = {}) {
  return {std::make_unique<FakeLine>(wire), allowed, {.output = wire.output, .high = wire.high}};
}

}  // namespace microvm::fakes
