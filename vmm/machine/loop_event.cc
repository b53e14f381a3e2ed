// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/loop_event.h"

#include <fcntl.h>
#include <unistd.h>

#include "vmm/host/error.h"

namespace microvm {

int DuplicateForLoop(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) ThrowErrno("fcntl (F_DUPFD_CLOEXEC)");
  return copy;
}

LoopEvent::LoopEvent(EventLoop& loop, HostKernel& kernel, std::function<void()> handler)
    : handler_(std::move(handler)),
      eventfd_(MakeEventFd(kernel)),
      descriptor_(loop, DuplicateForLoop(eventfd_.get())) {
  Await();
}

void LoopEvent::Await() {
  descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                         [this](const asio::error_code& error) {
                           if (error == asio::error::operation_aborted) return;
                           std::uint64_t count = 0;
                           if (::read(eventfd_.get(), &count, sizeof(count)) > 0) handler_();
                           Await();
                         });
}

}  // namespace microvm
