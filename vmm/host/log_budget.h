// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>

namespace microvm {

// How many lines of one kind a guest, or what it makes happen, may still put in the log: enough to
// see what is wrong, too few to fill a disk. It outlives the boots of a guest, so that one that
// reboots in a loop gets no more. Any thread.
class LogBudget {
 public:
  explicit LogBudget(unsigned lines = 8) : left_(lines) {}

  // Takes one line and returns how many there were: 0 says that it must not be written, 1 that it
  // is the last.
  unsigned Take() noexcept {
    unsigned left = left_.load(std::memory_order_relaxed);
    while (left > 0 && !left_.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) {
    }
    return left;
  }

 private:
  std::atomic<unsigned> left_;
};

}  // namespace microvm
