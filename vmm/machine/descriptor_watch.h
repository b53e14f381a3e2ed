// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asio/posix/stream_descriptor.hpp>
#include <functional>

#include "vmm/host/fd.h"
#include "vmm/machine/event_loop.h"

namespace microvm {

// A descriptor that Asio may have: it closes what it is given.
int DuplicateForLoop(int fd);

// Has the event loop call a handler each time a descriptor can be read, or is hung up. The loop's
// thread; between two calls the loop sees to everything else that is due.
class DescriptorWatch {
 public:
  // `handler` reads some of what is there, without waiting, and returns whether it wants to be
  // called again: not when the descriptor is hung up, which it would be called for without end.
  DescriptorWatch(EventLoop& loop, const Fd& fd, std::function<bool()> handler);

 private:
  void Await();

  std::function<bool()> handler_;
  asio::posix::stream_descriptor descriptor_;
};

}  // namespace microvm
