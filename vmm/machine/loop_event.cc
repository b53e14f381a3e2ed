// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/loop_event.h"

namespace microvm {

LoopEvent::LoopEvent(EventLoop& loop, HostKernel& kernel, std::function<void()> handler)
    : handler_(std::move(handler)), eventfd_(MakeEventFd(kernel)), watch_(loop, eventfd_, [this] {
        if (DrainEventFd(eventfd_)) handler_();
        return true;
      }) {}

}  // namespace microvm
