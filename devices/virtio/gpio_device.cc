// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/gpio_device.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace microvm {
namespace {

// virtio 1.2, 5.18.2.
constexpr std::uint16_t kGpioRequestQueue = 0;
constexpr std::uint16_t kGpioEventQueue = 1;

constexpr std::uint64_t kFeatureIrq = 1;  // 5.18.3: VIRTIO_GPIO_F_IRQ

// 5.18.6: types of messages, directions, types of interrupts, how a request went.
enum Message : std::uint16_t {
  kGetLineNames = 1,
  kGetDirection = 2,
  kSetDirection = 3,
  kGetValue = 4,
  kSetValue = 5,
  kSetIrqType = 6,
};
enum Direction : std::uint8_t { kDirectionNone = 0, kDirectionOut = 1, kDirectionIn = 2 };
enum IrqType : std::uint8_t {
  kIrqNone = 0,
  kIrqRising = 1,
  kIrqFalling = 2,
  kIrqBoth = 3,
  kIrqHigh = 4,
  kIrqLow = 8,
};
constexpr std::uint8_t kReplyOk = 0;
constexpr std::uint8_t kReplyError = 1;

// 5.18.7: of an event.
constexpr std::uint8_t kEventInvalid = 0;
constexpr std::uint8_t kEventValid = 1;

bool IsLevel(std::uint8_t type) { return type == kIrqHigh || type == kIrqLow; }

// The edges that such an interrupt is made of.
GpioEdges EdgesOf(std::uint32_t type) {
  switch (type) {
    case kIrqRising:
    case kIrqHigh:
      return GpioEdges::kRising;
    case kIrqFalling:
    case kIrqLow:
      return GpioEdges::kFalling;
    case kIrqBoth:
      return GpioEdges::kBoth;
    default:
      return GpioEdges::kNone;
  }
}

constexpr std::uint64_t LineBit(std::size_t line) { return std::uint64_t{1} << line; }

}  // namespace

struct GpioDevice::Request {
  std::uint16_t type;
  std::uint16_t line;
  std::uint32_t value;
};

struct GpioDevice::Reply {
  std::uint8_t status;
  std::uint8_t value;
};

GpioDevice::GpioDevice(std::vector<Line> lines)
    : lines_(std::move(lines)),
      states_(lines_.size()),
      profile_{.id = VirtioId::kGpio, .queues = 1, .config = config_} {
  const auto has_name = [](const Line& line) { return !line.name.empty(); };
  if (std::any_of(lines_.begin(), lines_.end(), has_name)) {
    for (const Line& line : lines_) names_.append(line.name).push_back('\0');
  }
  const auto may_interrupt = [](const Line& line) {
    return line.pin.MayWatch(GpioEdges::kRising) || line.pin.MayWatch(GpioEdges::kFalling);
  };
  if (std::any_of(lines_.begin(), lines_.end(), may_interrupt)) {
    profile_.features = kFeatureIrq;
    profile_.queues = 2;
  }
  // 5.18.4: struct virtio_gpio_config.
  const auto count = static_cast<std::uint16_t>(lines_.size());
  const auto names_bytes = static_cast<std::uint32_t>(names_.size());
  std::memcpy(config_.data(), &count, sizeof(count));
  std::memcpy(&config_[4], &names_bytes, sizeof(names_bytes));
  GpioDevice::Forget(kGpioRequestQueue);
}

void GpioDevice::EventsReady(std::size_t line) noexcept {
  ready_.fetch_or(LineBit(line), std::memory_order_release);
}

bool GpioDevice::IsGone(std::size_t line) const noexcept {
  return (gone_.load(std::memory_order_relaxed) & LineBit(line)) != 0;
}

void GpioDevice::Start(std::uint64_t features) noexcept {
  has_irq_ = (features & kFeatureIrq) != 0;
}

Handled GpioDevice::Handle(std::uint16_t queue, DescriptorChain& chain) noexcept {
  return queue == kGpioEventQueue ? Unmask(chain) : Answer(chain);
}

Handled GpioDevice::Answer(DescriptorChain& chain) noexcept {
  ScatterList readable = chain.Readable();
  ScatterList writable = chain.Writable();
  Request request{};
  if (!readable.TakeFirst(std::as_writable_bytes(std::span(&request, 1))) ||
      writable.size_bytes() < sizeof(Reply)) {
    return {Handled::How::kMalformed};
  }
  if (request.type == kGetLineNames && writable.size_bytes() > names_.size() && !names_.empty()) {
    return SendNames(writable);
  }
  const Reply reply = Serve(request);
  if (reply.status != kReplyOk) ++traffic_.errors;
  writable.PutFirst(std::as_bytes(std::span(&reply, 1)));
  return {Handled::How::kDone, sizeof(reply)};
}

Handled GpioDevice::SendNames(ScatterList& writable) noexcept {
  std::size_t written = writable.PutFirst(std::as_bytes(std::span(&kReplyOk, 1)));
  written += writable.PutFirst(std::as_bytes(std::span(names_)));
  return {Handled::How::kDone, static_cast<std::uint32_t>(written)};
}

GpioDevice::Reply GpioDevice::Serve(const Request& request) noexcept {
  constexpr Reply kError{kReplyError, 0};
  const std::size_t line = request.line;
  if (line >= lines_.size()) return kError;
  GpioPin& pin = lines_[line].pin;
  bool done = false;
  switch (request.type) {
    case kGetDirection:
      return {kReplyOk, pin.is_output() ? kDirectionOut : kDirectionIn};
    case kGetValue: {
      const auto high = pin.Read();
      if (!high) return kError;
      return {kReplyOk, *high ? std::uint8_t{1} : std::uint8_t{0}};
    }
    case kSetDirection:
      done = SetDirection(line, request.value);
      break;
    case kSetValue:
      done = SetValue(line, request.value);
      break;
    case kSetIrqType:
      done = has_irq_ && SetIrqType(line, request.value);
      break;
    default:
      break;
  }
  return done ? Reply{kReplyOk, 0} : kError;
}

bool GpioDevice::SetDirection(std::size_t line, std::uint32_t direction) noexcept {
  GpioPin& pin = lines_[line].pin;
  State& state = states_[line];
  switch (direction) {
    case kDirectionNone:
      // 5.18.6.1: all that the driver made of it is discarded.
      DisableIrq(line);
      pin.Restore();
      state.output_high = pin.found_high();
      return true;
    case kDirectionOut:
      if (!pin.MakeOutput(state.output_high)) return false;
      DisableIrq(line);
      return true;
    case kDirectionIn:
      // Its interrupt stays enabled.
      return pin.Watch(EdgesOf(state.irq_type));
    default:
      return false;
  }
}

bool GpioDevice::SetValue(std::size_t line, std::uint32_t value) noexcept {
  GpioPin& pin = lines_[line].pin;
  if (value > 1 || !pin.MayBeOutput()) return false;
  if (pin.is_output() && !pin.Drive(value == 1)) return false;
  states_[line].output_high = value == 1;
  return true;
}

bool GpioDevice::SetIrqType(std::size_t line, std::uint32_t type) noexcept {
  GpioPin& pin = lines_[line].pin;
  State& state = states_[line];
  if (type == kIrqNone) {
    DisableIrq(line);
    return true;
  }
  const GpioEdges edges = EdgesOf(type);
  // 5.18.6.1: not for a line that is an output.
  if (edges == GpioEdges::kNone || pin.is_output() || !pin.Watch(edges)) return false;
  state.irq_type = static_cast<std::uint8_t>(type);
  state.latched = false;
  if (state.event != nullptr && IsAtLevel(line)) End(line, kEventValid);
  return true;
}

void GpioDevice::DisableIrq(std::size_t line) noexcept {
  State& state = states_[line];
  if (state.event != nullptr) End(line, kEventInvalid);
  state.latched = false;
  if (std::exchange(state.irq_type, kIrqNone) == kIrqNone || lines_[line].pin.is_output()) return;
  // What the host does not stop is not told to the driver.
  [[maybe_unused]] const bool stopped = lines_[line].pin.MakeInput();
}

// 5.18.7: a buffer in this queue unmasks the interrupt of its line, and goes back when there is
// one. It is also kept where the interrupt is not enabled: to Linux' driver, which does not look
// whether it may have the interrupt, one that goes back is one to be put here again, without end.
Handled GpioDevice::Unmask(DescriptorChain& chain) noexcept {
  ScatterList readable = chain.Readable();
  std::uint16_t line = 0;
  std::byte* const status = chain.Writable().TakeLast();
  if (status == nullptr || !readable.TakeFirst(std::as_writable_bytes(std::span(&line, 1)))) {
    return {Handled::How::kMalformed};
  }
  const auto done = [status](std::uint8_t value) {
    *status = std::byte{value};
    return Handled{Handled::How::kDone, 1};
  };
  if (line >= lines_.size()) return done(kEventInvalid);
  State& state = states_[line];
  // One at a time.
  if (state.event != nullptr || (ended_ & LineBit(line)) != 0) return done(kEventInvalid);
  if (std::exchange(state.latched, false) || IsAtLevel(line)) return done(kEventValid);
  state.event = status;
  state.head = chain.head();
  return {Handled::How::kLater};
}

void GpioDevice::TakeEvents(std::size_t line) noexcept {
  State& state = states_[line];
  const GpioEvents events = lines_[line].pin.TakeEvents();
  if (events.gone) gone_.fetch_or(LineBit(line), std::memory_order_relaxed);
  if (IsLevel(state.irq_type)) {
    if (state.event != nullptr && IsAtLevel(line)) End(line, kEventValid);
    return;
  }
  if ((events.edges & EdgesOf(state.irq_type)) == GpioEdges::kNone) return;
  if (state.event != nullptr) {
    End(line, kEventValid);
  } else {
    state.latched = true;
  }
}

bool GpioDevice::IsAtLevel(std::size_t line) noexcept {
  const std::uint8_t type = states_[line].irq_type;
  if (!IsLevel(type)) return false;
  const auto high = lines_[line].pin.Read();
  return high && *high == (type == kIrqHigh);
}

void GpioDevice::End(std::size_t line, std::uint8_t status) noexcept {
  *std::exchange(states_[line].event, nullptr) = std::byte{status};
  ended_ |= LineBit(line);
}

std::optional<EndedRequest> GpioDevice::NextEnded(bool /*wait*/) noexcept {
  std::uint64_t ready = ready_.exchange(0, std::memory_order_acquire);
  for (; ready != 0; ready &= ready - 1) {
    TakeEvents(static_cast<std::size_t>(std::countr_zero(ready)));
  }
  if (ended_ == 0) return std::nullopt;
  const auto line = static_cast<std::size_t>(std::countr_zero(ended_));
  ended_ &= ended_ - 1;
  return EndedRequest{kGpioEventQueue, states_[line].head, 1};
}

void GpioDevice::Forget(std::uint16_t queue) noexcept {
  if (queue == kGpioEventQueue) {
    for (State& state : states_) state.event = nullptr;
    ended_ = 0;
    return;
  }
  // Without its requests the driver has no lines.
  for (std::size_t line = 0; line < lines_.size(); ++line) {
    GpioPin& pin = lines_[line].pin;
    pin.Restore();
    State& state = states_[line];
    state.output_high = pin.found_high();
    state.irq_type = kIrqNone;
    state.latched = false;
  }
}

}  // namespace microvm
