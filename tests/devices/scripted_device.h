// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <climits>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "tests/devices/virtio_guest.h"

namespace microvm::fakes {

// Handles requests as the test says.
class ScriptedDevice final : public VirtioDevice {
 public:
  [[nodiscard]] const VirtioProfile& profile() const override { return profile_; }
  void Start(std::uint64_t features) noexcept override { started_with = features; }
  Handled Handle(std::uint16_t queue, DescriptorChain& chain) noexcept override {
    ++handled;
    if (how == Handled::How::kLater) in_flight.push_back({queue, chain.head(), 7});
    return {how, 3};
  }
  std::optional<EndedRequest> NextEnded(bool wait) noexcept override {
    if (wait) ++waits;
    if (in_flight.empty() || (!may_end && ++looks < looks_until_end)) return std::nullopt;
    const EndedRequest ended = in_flight.front();
    in_flight.pop_front();
    return ended;
  }
  [[nodiscard]] bool IsBusy() const noexcept override { return !in_flight.empty(); }
  void Cancel() noexcept override { ++cancels; }
  void Forget(std::uint16_t queue) noexcept override { forgotten.push_back(queue); }
  [[nodiscard]] VirtioTraffic traffic() const noexcept override { return {}; }

  Handled::How how = Handled::How::kDone;
  std::atomic<bool> may_end = false;
  unsigned looks = 0;
  unsigned looks_until_end = UINT_MAX;
  unsigned waits = 0;
  unsigned cancels = 0;
  std::deque<EndedRequest> in_flight;
  std::vector<std::uint16_t> forgotten;
  unsigned handled = 0;
  std::uint64_t started_with = 0;

 private:
  std::array<std::byte, 12> config_ = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  VirtioProfile profile_{.id = VirtioId::kBlock, .features = 0x60, .queues = 2, .config = config_};
};

// A device whose first queue is served, with one descriptor to be made available.
struct Served {
  static constexpr std::uint64_t kPlace = VirtioRam::kStart + 0x10000;

  explicit Served(std::uint64_t features = VirtioGuest::kVersion1) {
    queue.Describe(0, {kPlace, 16, kVirtqWrite, 0});
    guest.Start(queue, features);
    VirtioGuest::Take(guest.notification);
    guest.transport.OnNotified();
    device.forgotten.clear();
  }
  void Request(unsigned count = 1) {
    for (unsigned number = 0; number < count; ++number) queue.MakeAvailable(0);
    guest.transport.OnNotified();
  }

  ScriptedDevice device;
  VirtioGuest guest{device};
  DriverQueue queue{guest.memory, VirtioRam::kStart, 128};
};

}  // namespace microvm::fakes
