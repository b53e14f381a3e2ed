// SPDX-License-Identifier: Apache-2.0
// What the mode `loopback` and the program on the host that raises the interrupt share, in the
// guest's memory. bench/native includes this, too.
#pragma once

#include <atomic>
#include <cstdint>

namespace guest {

// Times are the virtual counter's. All but `stop` is written by the guest.
struct alignas(64) Mailbox {
  std::atomic<std::uint64_t> landed{0};  // interrupts so far; written last
  std::uint64_t handler_time = 0;        // of the last one
  std::uint64_t back_time = 0;           // when the interrupted code ran again
  std::atomic<std::uint64_t> stop{0};    // 1: end after the next interrupt
};

}  // namespace guest
