// SPDX-License-Identifier: Apache-2.0
// A device that is a PL031 and a PL011 in one: two regions, two interrupts, raised in turn.
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "modes.h"

namespace guest {
namespace {

struct Block {
  std::uint64_t raised = 0;
  std::atomic<std::uint64_t> handled = 0;
  std::atomic<std::uint64_t> line_was_down = 0;
};

struct Clock : Block {
  Pl031 device;
};
struct Uart : Block {
  Pl011 device;
};

template <typename Which, bool (*LineIsUp)(const Which&), void (*Clear)(const Which&)>
void Handle(void* context, const ExceptionFrame& /*frame*/) {
  Which& block = *static_cast<Which*>(context);
  auto& counter = LineIsUp(block) ? block.handled : block.line_was_down;
  Clear(block);
  counter.fetch_add(1, std::memory_order_relaxed);
}

bool ClockIsUp(const Clock& clock) { return clock.device.line(); }
void ClearClock(const Clock& clock) { clock.device.Clear(); }
bool UartIsUp(const Uart& uart) { return uart.device.transmit_line(); }
void ClearUart(const Uart& uart) { uart.device.ClearTransmitInterrupt(); }

void Await(Block& block, std::uint64_t timeout_us, const char* what) {
  const std::uint64_t deadline = DeadlineAfter(timeout_us);
  ++block.raised;
  while (block.handled != block.raised) {
    if (Counter() > deadline) Fail(what, " interrupt lost after ", block.handled.load());
  }
}

void RaiseClock(Clock& clock, std::uint64_t timeout_us) {
  const std::uint64_t before = clock.handled;
  do {
    clock.device.SetMatch(clock.device.now());
    DataBarrier();
  } while (!clock.device.raised() && clock.handled == before);
  Await(clock, timeout_us, "clock");
}

}  // namespace

void RunSeveral(Guest& guest) {
  const std::uint64_t count = guest.Number("count", 1000);
  const std::uint64_t timeout_us = guest.Number("timeout_ms", 1000) * 1000;
  const DeviceFacts& facts = guest.board().device;
  if (facts.regions.size() != 2 || facts.interrupts.size() != 2) {
    Fail("regions=", facts.regions.size(), " interrupts=", facts.interrupts.size());
  }
  Clock clock;
  clock.device = guest.device();
  Uart uart;
  uart.device = Pl011(facts.regions[1].start);
  clock.device.Quiesce();
  const std::uint64_t spurious_before = guest.gic().spurious();
  guest.StartInterrupts();
  guest.gic().SetHandler(facts.interrupts[0].intid,
                         {&Handle<Clock, &ClockIsUp, &ClearClock>, &clock});
  guest.gic().SetHandler(facts.interrupts[1].intid, {&Handle<Uart, &UartIsUp, &ClearUart>, &uart});
  for (const Interrupt& interrupt : facts.interrupts) guest.gic().Enable(interrupt);
  clock.device.EnableLine();
  uart.device.EnableTransmitInterrupt();
  for (std::uint64_t round = 0; round < count; ++round) {
    RaiseClock(clock, timeout_us);
    uart.device.Put('.');
    Await(uart, timeout_us, "uart");
  }
  WaitMicroseconds(2000);
  for (const Interrupt& interrupt : facts.interrupts) guest.gic().Disable(interrupt);
  clock.device.Quiesce();
  uart.device.DisableInterrupts();
  const std::uint64_t spurious =
      guest.gic().spurious() - spurious_before + clock.line_was_down + uart.line_was_down;
  guest.console().Line("clock=", clock.handled.load(), " uart=", uart.handled.load(),
                       " spurious=", spurious);
  if (clock.handled != count || uart.handled != count || spurious > guest.Number("stale", 0)) {
    Fail("not what was raised");
  }
}

}  // namespace guest
