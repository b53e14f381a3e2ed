// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/event_loop.h"

#include <liburing.h>

#include <asio/steady_timer.hpp>

#include "vmm/host/error.h"

// Asio 1.22 to 1.30 ask for 16,384 entries, whose rings keep 1.6 MiB resident. This loop has a
// handful of operations in flight, and Asio waits for room when the ring is full. The linker sends
// its call here (--wrap=io_uring_queue_init).
// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming)
extern "C" int __real_io_uring_queue_init(unsigned entries, io_uring* ring, unsigned flags);
extern "C" int __wrap_io_uring_queue_init(unsigned entries, io_uring* ring, unsigned flags);

extern "C" int __wrap_io_uring_queue_init(unsigned entries, io_uring* ring, unsigned flags) {
  constexpr unsigned kEntries = 32;
  return __real_io_uring_queue_init(entries < kEntries ? entries : kEntries, ring, flags);
}
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming)

namespace microvm {

EventLoop::EventLoop() : asio::io_context(1) {
  const Error context("the kernel gives us no io_uring",
                      "sysctl kernel.io_uring_disabled=0, or a kernel with CONFIG_IO_URING=y");
  // Asio makes its ring with the first object that needs it: here, where the failure has a name.
  WithContext(context, [this] { const asio::steady_timer first(*this); });
}

}  // namespace microvm
