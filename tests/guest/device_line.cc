// SPDX-License-Identifier: Apache-2.0
#include "device_line.h"

#include "cpu.h"
#include "failure.h"

namespace guest {

DeviceLine::DeviceLine(Guest& guest, Before before)
    : guest_(guest),
      device_(guest.device()),
      timeout_us_(guest.Number("timeout_ms", 1000) * 1000),
      spurious_before_(guest.gic().spurious()) {
  if (before == Before::kQuiet) device_.Quiesce();
  guest_.ConnectDevice({&DeviceLine::Handle, this});
  if (before == Before::kQuiet) return;
  const std::uint64_t deadline = DeadlineAfter(timeout_us_);
  while (handled() == 0) {
    if (Counter() > deadline) Fail("the interrupt asserted before is lost line=", device_.line());
  }
  ++raised_;
}

DeviceLine::~DeviceLine() { guest_.DisconnectDevice(); }

void DeviceLine::Handle(void* self, const ExceptionFrame& /*frame*/) {
  auto& line = *static_cast<DeviceLine*>(self);
  if (!line.device_.line()) {
    line.line_was_down_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  line.device_.Clear();
  line.handled_.fetch_add(1, std::memory_order_relaxed);
}

void DeviceLine::RaiseAndWait() {
  const std::uint64_t before = handled();
  const std::uint64_t deadline = DeadlineAfter(timeout_us_);
  device_.SetMatch(device_.now());
  while (handled() == before) {
    // Neither raised nor, after that was seen, handled: a second ticked between reading the time
    // and writing it.
    const bool raised = device_.raised();
    DataBarrier();
    if (!raised && handled() == before) device_.SetMatch(device_.now());
    if (Counter() > deadline) Fail("interrupt lost after ", before, " line=", device_.line());
  }
  ++raised_;
}

void DeviceLine::CheckExact() const {
  WaitMicroseconds(2000);
  if (handled() == raised_ && spurious() <= guest_.Number("stale", 0)) return;
  Fail("interrupts=", handled(), " raised=", raised_, " spurious=", spurious(),
       " line_was_down=", line_was_down_.load(std::memory_order_relaxed));
}

std::uint64_t DeviceLine::spurious() const {
  return guest_.gic().spurious() - spurious_before_ +
         line_was_down_.load(std::memory_order_relaxed);
}

}  // namespace guest
