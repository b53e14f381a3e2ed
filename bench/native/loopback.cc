// SPDX-License-Identifier: Apache-2.0
#include "bench/native/loopback.h"

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/guest/mailbox.h"

namespace microvm::bench {
namespace {

using guest::Mailbox;

// The counter that the guest's virtual one is set to.
std::uint64_t HostCounter() {
#ifdef __aarch64__
  std::uint64_t ticks = 0;
  asm volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks)::"memory");
  return ticks;
#else
  throw std::runtime_error("microvm-bench runs on arm64 only");
#endif
}

// Wakes as the deadline demands: a spinning look would keep a single CPU from the guest.
void AwaitLanding(const Mailbox& mailbox, std::uint64_t landed, unsigned period_us) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  do {
    std::this_thread::sleep_for(std::chrono::microseconds(period_us));
    if (mailbox.landed.load(std::memory_order_acquire) >= landed) return;
  } while (Clock::now() < deadline);
  throw std::runtime_error("interrupt " + std::to_string(landed) +
                           " did not reach the guest in 2 s");
}

}  // namespace

std::vector<Distribution> RunLoopback(const TappedKernel& kernel, const LoopbackPlan& plan) {
  auto* mailbox = static_cast<Mailbox*>(kernel.At(plan.mailbox, sizeof(Mailbox)));
  if (mailbox == nullptr) throw std::runtime_error("the guest's mailbox is outside its memory");
  Distribution to_handler{.name = "raise_to_handler", .ticks = {}};
  Distribution to_loop{.name = "handler_to_loop", .ticks = {}};
  Distribution round_trip{.name = "raise_to_eoi_to_loop", .ticks = {}};
  const unsigned all = plan.samples + plan.warmup;
  for (unsigned i = 1; i <= all; ++i) {
    // The guest looks for this after each interrupt, so it is set before the last.
    if (i == all) mailbox->stop.store(1, std::memory_order_relaxed);
    const std::uint64_t start = HostCounter();
    kernel.Raise();
    AwaitLanding(*mailbox, i, plan.period_us);
    if (i <= plan.warmup) continue;
    to_loop.ticks.push_back(mailbox->back_time - mailbox->handler_time);
    if (!kernel.one_counter()) continue;
    to_handler.ticks.push_back(mailbox->handler_time - start);
    round_trip.ticks.push_back(mailbox->back_time - start);
  }
  return {std::move(to_handler), std::move(to_loop), std::move(round_trip)};
}

}  // namespace microvm::bench
