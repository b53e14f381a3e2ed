// SPDX-License-Identifier: Apache-2.0
// Every interrupt of the device, counted each for itself; who raises them is somebody else.
#include <array>
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "modes.h"

namespace guest {
namespace {

struct Line {
  std::uint32_t intid = 0;
  std::atomic<std::uint64_t> handled = 0;
};

constinit std::array<Line, 256> lines{};
constinit std::atomic<std::uint64_t> total = 0;

void Count(void* context, const ExceptionFrame& /*frame*/) {
  static_cast<Line*>(context)->handled.fetch_add(1, std::memory_order_relaxed);
  total.fetch_add(1, std::memory_order_relaxed);
}

// The line of an INTID, which a device may list twice.
Line& LineOf(std::uint32_t intid, std::size_t& used) {
  for (std::size_t index = 0; index < used; ++index) {
    if (lines[index].intid == intid) return lines[index];
  }
  lines[used].intid = intid;
  return lines[used++];
}

// Lines from `first` on whose INTIDs follow each other, and that have interrupted as often.
std::size_t EndOfRun(std::size_t first, std::size_t used) {
  std::size_t next = first + 1;
  while (next < used && lines[next].intid == lines[next - 1].intid + 1 &&
         lines[next].handled == lines[first].handled) {
    ++next;
  }
  return next;
}

}  // namespace

void RunLines(Guest& guest) {
  const std::uint64_t count = guest.Number("count", 1);
  const auto& interrupts = guest.board().device.interrupts;
  if (interrupts.empty()) Fail("the device under test has no interrupt");
  const std::uint64_t spurious_before = guest.gic().spurious();
  guest.StartInterrupts();
  std::size_t used = 0;
  for (const Interrupt& interrupt : interrupts) {
    guest.gic().SetHandler(interrupt.intid, {&Count, &LineOf(interrupt.intid, used)});
    guest.gic().Enable(interrupt);
  }
  guest.console().Line("ready lines=", used);
  const std::uint64_t deadline = DeadlineAfter(guest.Number("timeout_ms", 10'000) * 1000);
  while (total < count && Counter() < deadline) {
  }
  WaitMicroseconds(2000);
  for (const Interrupt& interrupt : interrupts) guest.gic().Disable(interrupt);
  for (std::size_t first = 0, next = 0; first < used; first = next) {
    next = EndOfRun(first, used);
    if (lines[first].handled == 0) continue;
    guest.console().Line("lines=", first, "-", next - 1, " intids=", lines[first].intid, "-",
                         lines[next - 1].intid, " interrupts=", lines[first].handled.load());
  }
  guest.console().Line("lines=", used, " interrupts=", total.load(),
                       " spurious=", guest.gic().spurious() - spurious_before);
  if (total != count) Fail("interrupts=", total.load(), " expected=", count);
}

}  // namespace guest
