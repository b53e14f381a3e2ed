// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "vmm/host/fd.h"
#include "vmm/machine/descriptor_watch.h"
#include "vmm/machine/event_loop.h"

namespace microvm {

// The way from any thread to the event loop: an eventfd. Other threads must not call Asio itself,
// not even asio::post: the wake-up submits whatever is queued on the ring, and io_uring ties a
// request to the thread that submitted it, so that it is cancelled when a vCPU thread ends.
class LoopEvent {
 public:
  // `handler` runs on the loop after one or more signals; it may call Signal of others.
  LoopEvent(EventLoop& loop, HostKernel& kernel, std::function<void()> handler);

  // Any thread; does not block.
  void Signal() noexcept { SignalEventFd(eventfd_); }

  [[nodiscard]] const Fd& eventfd() const { return eventfd_; }

 private:
  std::function<void()> handler_;
  Fd eventfd_;
  DescriptorWatch watch_;
};

}  // namespace microvm
