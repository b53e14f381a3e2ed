// SPDX-License-Identifier: Apache-2.0
// Interrupts that somebody on the host raises; no register of the device is touched.
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "../mailbox.h"
#include "modes.h"

namespace guest {
namespace {

constinit Mailbox mailbox;

struct Landing {
  std::uint64_t handler_time = 0;
  std::atomic<bool> landed = false;
};

void Land(void* context, const ExceptionFrame& /*frame*/) {
  auto& landing = *static_cast<Landing*>(context);
  landing.handler_time = Counter();
  landing.landed.store(true, std::memory_order_relaxed);
}

void Sleep(const Landing& landing) {
  MaskInterrupts();
  if (!landing.landed.load(std::memory_order_relaxed)) WaitForInterrupt();
  UnmaskInterrupts();
}

}  // namespace

void RunLoopback(Guest& guest) {
  const bool sleep = guest.Number("wfi", 0) != 0;
  const Interrupt interrupt = guest.device_interrupt();
  Landing landing;
  guest.StartInterrupts();
  guest.gic().SetHandler(interrupt.intid, {&Land, &landing});
  guest.gic().Enable(interrupt);
  guest.console().Line("loopback mailbox=", reinterpret_cast<std::uint64_t>(&mailbox),
                       " counter_hz=", CounterFrequency());
  while (mailbox.stop.load(std::memory_order_relaxed) == 0 ||
         landing.landed.load(std::memory_order_relaxed)) {
    if (sleep) Sleep(landing);
    if (!landing.landed.load(std::memory_order_relaxed)) continue;
    mailbox.back_time = Counter();
    mailbox.handler_time = landing.handler_time;
    landing.landed.store(false, std::memory_order_relaxed);
    mailbox.landed.fetch_add(1, std::memory_order_release);
  }
  guest.gic().Disable(interrupt);
  guest.console().Line("loopback landed=", mailbox.landed.load());
}

}  // namespace guest
