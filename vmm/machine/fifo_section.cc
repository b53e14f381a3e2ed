// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/fifo_section.h"

#include <sched.h>
#include <unistd.h>

namespace microvm {

FifoSection::FifoSection(HostKernel& kernel) noexcept
    : kernel_(kernel), thread_(gettid()), policy_(sched_getscheduler(0)) {
  const bool is_ordinary =
      policy_ == SCHED_OTHER || policy_ == SCHED_BATCH || policy_ == SCHED_IDLE;
  active_ = is_ordinary && kernel_.SetScheduler(thread_, SCHED_FIFO, 1) == 0;
}

FifoSection::~FifoSection() { Release(thread_); }

void FifoSection::Release(pid_t thread) const noexcept {
  if (active_) kernel_.SetScheduler(thread, policy_, 0);
}

}  // namespace microvm
