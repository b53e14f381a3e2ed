// SPDX-License-Identifier: Apache-2.0
#pragma once

// Asio on io_uring alone: with ASIO_HAS_IO_URING and not ASIO_DISABLE_EPOLL it would put
// descriptors on epoll without a word.
#include <asio/detail/config.hpp>
#if !defined(ASIO_HAS_IO_URING_AS_DEFAULT)
#error "build with ASIO_HAS_IO_URING and ASIO_DISABLE_EPOLL"
#endif

#include <asio/io_context.hpp>

namespace microvm {

// The program's one event loop, run by the main thread: signals, console, timers, virtio devices
// and the end of the guest. Interrupts of passed-through devices never pass through it.
class EventLoop : public asio::io_context {
 public:
  // Throws a chain with the remedy if the kernel gives no io_uring.
  EventLoop();
};

}  // namespace microvm
