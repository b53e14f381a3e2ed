// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/posix/stream_descriptor.hpp>
#include <functional>

#include "devices/pl031.h"
#include "vmm/machine/event_loop.h"

namespace microvm {

// The host's wall clock with an alarm on the event loop: a timerfd(2), which any thread may set,
// and which is early or late by no more than the clock itself, also when that is set.
class HostClock final : public WallClock {
 public:
  // `on_alarm` runs on the loop. Throws a chain.
  HostClock(EventLoop& loop, std::function<void()> on_alarm);

  [[nodiscard]] std::int64_t Now() const noexcept override;
  void SetAlarm(std::optional<std::int64_t> at) noexcept override;

 private:
  void Await();

  std::function<void()> on_alarm_;
  asio::posix::stream_descriptor timer_;
};

}  // namespace microvm
