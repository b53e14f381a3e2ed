// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/console_device.h"

#include <algorithm>
#include <cstring>

namespace microvm {
namespace {

// virtio 1.2, 5.3.2: the queues of the first port; 5.3.4: an offset in the configuration space.
enum ConsoleQueue : std::uint16_t { kConsoleReceive = 0, kConsoleTransmit = 1 };
constexpr std::uint64_t kConfigEmergencyWrite = 8;

}  // namespace

Handled ConsoleDevice::Handle(std::uint16_t queue, DescriptorChain& chain) noexcept {
  const std::scoped_lock lock(mutex_);
  return queue == kConsoleReceive ? HandleReceive(chain) : HandleTransmit(chain);
}

// 5.3.6.1: a driver puts nothing there for the device to read.
Handled ConsoleDevice::HandleReceive(DescriptorChain& chain) noexcept {
  if (!chain.Readable().pieces().empty()) return {Handled::How::kMalformed};
  const ScatterList buffers = chain.Writable();
  if (buffers.pieces().empty()) return {Handled::How::kDone};
  if (!receive_.Hold(chain.head(), buffers.pieces())) return {Handled::How::kMalformed};
  if (host_has_more_) {
    host_has_more_ = false;
    host_.ReceiveReady();
  }
  return {Handled::How::kLater};
}

// 5.3.6.1: nor here for the device to write.
Handled ConsoleDevice::HandleTransmit(DescriptorChain& chain) noexcept {
  if (!chain.Writable().pieces().empty()) return {Handled::How::kMalformed};
  const ScatterList buffers = chain.Readable();
  if (buffers.pieces().empty()) return {Handled::How::kDone};
  if (!transmit_.Hold(chain.head(), buffers.pieces())) return {Handled::How::kMalformed};
  TakeFromGuest();
  TellHost();
  // The transport asks for what has ended after each share of requests.
  return {Handled::How::kLater};
}

// As much as there is room for.
void ConsoleDevice::TakeFromGuest() noexcept {
  while (transmit_.waits() && !sent_.full()) {
    const std::span<const std::byte> piece = transmit_.piece();
    const std::size_t length = std::min(piece.size(), kTransmitBytes - sent_.size());
    for (const std::byte byte : piece.first(length)) {
      sent_.Push(std::to_integer<std::uint8_t>(byte));
    }
    traffic_.bytes_written += length;
    transmit_.Advance(length);
  }
}

void ConsoleDevice::TellHost() noexcept {
  if (!host_idle_ || sent_.empty()) return;
  host_idle_ = false;
  host_.TransmitReady();
}

bool ConsoleDevice::WriteConfig(std::uint64_t offset, std::uint32_t value) noexcept {
  if (offset != kConfigEmergencyWrite) return false;
  const std::scoped_lock lock(mutex_);
  // Nobody waits for it: behind a reader that is slow it is lost.
  if (!sent_.full()) {
    sent_.Push(static_cast<std::uint8_t>(value));
    ++traffic_.bytes_written;
  }
  TellHost();
  return true;
}

std::size_t ConsoleDevice::TakeTransmitted(std::span<std::uint8_t> out) noexcept {
  const std::scoped_lock lock(mutex_);
  const bool guest_waits = transmit_.waits();
  std::size_t count = 0;
  while (count < out.size() && !sent_.empty()) {
    out[count++] = sent_.Pop();
    if (sent_.empty()) TakeFromGuest();
  }
  TakeFromGuest();
  if (guest_waits) SignalEventFd(ended_);
  if (count < out.size()) host_idle_ = true;
  return count;
}

std::size_t ConsoleDevice::Receive(std::span<const std::uint8_t> in) noexcept {
  const std::scoped_lock lock(mutex_);
  std::size_t count = 0;
  while (count < in.size() && receive_.waits()) {
    const std::span<std::byte> piece = receive_.piece();
    const std::size_t length = std::min(piece.size(), in.size() - count);
    std::memcpy(piece.data(), &in[count], length);
    count += length;
    receive_.Advance(length);
  }
  // Its other buffers need not be filled.
  receive_.EndStarted();
  traffic_.bytes_read += count;
  host_has_more_ = count < in.size();
  if (count > 0) SignalEventFd(ended_);
  return count;
}

std::optional<EndedRequest> ConsoleDevice::NextEnded(bool /*wait*/) noexcept {
  const std::scoped_lock lock(mutex_);
  if (const auto ended = receive_.TakeEnded()) {
    return EndedRequest{kConsoleReceive, ended->head, ended->written_bytes};
  }
  // Nothing was written to what was read.
  if (const auto ended = transmit_.TakeEnded()) {
    return EndedRequest{kConsoleTransmit, ended->head, 0};
  }
  return std::nullopt;
}

void ConsoleDevice::Forget(std::uint16_t queue) noexcept {
  const std::scoped_lock lock(mutex_);
  (queue == kConsoleReceive ? receive_ : transmit_).Clear();
}

VirtioTraffic ConsoleDevice::traffic() const noexcept {
  const std::scoped_lock lock(mutex_);
  return traffic_;
}

}  // namespace microvm
