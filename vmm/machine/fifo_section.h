// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "vmm/host/host_kernel.h"

namespace microvm {

// While it lives, the calling thread is SCHED_FIFO, of the lowest priority, if it may be and is no
// real-time thread yet; after that it is what it was. To be kept short.
//
// It is for changes of KVM's memory slots, irqfds and I/O buses, which wait for a grace period of
// SRCU. A kernel that preempts starts the grace period's worker inside the caller's own read-side
// critical section, on its CPU, and there the worker spins until the scheduler's tick takes the CPU
// from it (kernel/rcu/srcutree.c: srcu_gp_start_if_needed, try_check_zero): milliseconds for what
// takes microseconds. It does not preempt a real-time thread.
class FifoSection {
 public:
  explicit FifoSection(HostKernel& kernel) noexcept;
  FifoSection(const FifoSection&) = delete;
  FifoSection& operator=(const FifoSection&) = delete;
  FifoSection(FifoSection&&) = delete;
  FifoSection& operator=(FifoSection&&) = delete;
  ~FifoSection();

  // Has a thread that was made in the section, and inherited it, leave it too.
  void Release(pid_t thread) const noexcept;

 private:
  HostKernel& kernel_;
  pid_t thread_;
  int policy_;  // before
  bool active_ = false;
};

}  // namespace microvm
