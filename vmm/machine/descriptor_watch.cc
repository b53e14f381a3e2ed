// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/descriptor_watch.h"

#include <fcntl.h>

#include "vmm/host/error.h"

namespace microvm {

int DuplicateForLoop(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) ThrowErrno("fcntl (F_DUPFD_CLOEXEC)");
  return copy;
}

DescriptorWatch::DescriptorWatch(EventLoop& loop, const Fd& fd, std::function<bool()> handler)
    : handler_(std::move(handler)), descriptor_(loop, DuplicateForLoop(fd.get())) {
  Await();
}

void DescriptorWatch::Await() {
  descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                         [this](const asio::error_code& error) {
                           if (error == asio::error::operation_aborted) return;
                           if (handler_()) Await();
                         });
}

}  // namespace microvm
