// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bench/native/distribution.h"
#include "bench/native/tapped_kernel.h"

namespace microvm::bench {

struct LoopbackPlan {
  std::uint64_t mailbox = 0;  // guest address of the guest's Mailbox
  unsigned samples = 0;
  unsigned warmup = 64;
  unsigned period_us = 1000;
};

// Raises the device's interrupt again and again, sleeping in between, so that a host with one CPU
// can do it, and takes the guest's times from its mailbox; then has the guest end. Between the
// call and its handler lies VFIO's ioctl too. Without a common counter only `handler_to_loop` is
// measured. Throws std::runtime_error if an interrupt is lost or cannot be raised. Runs on a thread
// that is no vCPU's, while the guest is in its mode `loopback`.
std::vector<Distribution> RunLoopback(const TappedKernel& kernel, const LoopbackPlan& plan);

}  // namespace microvm::bench
