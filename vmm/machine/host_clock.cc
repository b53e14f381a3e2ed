// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/host_clock.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <ctime>

#include "vmm/host/error.h"

namespace microvm {
namespace {

int MakeTimer() {
  const int fd = ::timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0) ThrowErrno("timerfd_create");
  return fd;
}

}  // namespace

HostClock::HostClock(EventLoop& loop, std::function<void()> on_alarm)
    : on_alarm_(std::move(on_alarm)), timer_(loop, MakeTimer()) {
  Await();
}

std::int64_t HostClock::Now() const noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec;
}

void HostClock::SetAlarm(std::optional<std::int64_t> at) noexcept {
  // All zeros: at no time.
  itimerspec when{};
  if (at) when.it_value.tv_sec = *at;
  ::timerfd_settime(timer_.native_handle(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void HostClock::Await() {
  timer_.async_wait(asio::posix::descriptor_base::wait_read, [this](const asio::error_code& error) {
    if (error == asio::error::operation_aborted) return;
    std::uint64_t times = 0;
    if (::read(timer_.native_handle(), &times, sizeof(times)) > 0) on_alarm_();
    Await();
  });
}

}  // namespace microvm
