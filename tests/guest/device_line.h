// SPDX-License-Identifier: Apache-2.0
// The interrupt line of the device under test: raises it, counts what arrives, and notices an
// interrupt lost or one too many.
#pragma once

#include <atomic>
#include <cstdint>

#include "guest.h"

namespace guest {

class DeviceLine {
 public:
  // Whether the device asserts its line already when it is connected.
  enum class Before { kQuiet, kAsserted };

  // Connects the device; kQuiet clears it first. An interrupt asserted before counts as raised,
  // and must arrive.
  DeviceLine(Guest& guest, Before before);

  // Disconnects it.
  ~DeviceLine();

  DeviceLine(const DeviceLine&) = delete;
  DeviceLine& operator=(const DeviceLine&) = delete;
  DeviceLine(DeviceLine&&) = delete;
  DeviceLine& operator=(DeviceLine&&) = delete;

  // Raises the line and waits until the handler has run; fails if it does not within
  // `timeout_ms=` (1000).
  void RaiseAndWait();

  // Fails unless, after a pause, every raise has been handled once and nothing else has come, but
  // `stale=` (0) interrupts whose line was down again.
  void CheckExact() const;

  [[nodiscard]] std::uint64_t raised() const { return raised_; }
  [[nodiscard]] std::uint64_t handled() const { return handled_.load(std::memory_order_relaxed); }

  // Acknowledgements without an interrupt, and interrupts that came with the device's line down,
  // which are not counted as handled.
  [[nodiscard]] std::uint64_t spurious() const;

 private:
  static void Handle(void* self, const ExceptionFrame& frame);

  Guest& guest_;
  Pl031 device_;
  std::uint64_t timeout_us_;
  std::uint64_t raised_ = 0;
  std::uint64_t spurious_before_;
  std::atomic<std::uint64_t> handled_ = 0;
  std::atomic<std::uint64_t> line_was_down_ = 0;
};

}  // namespace guest
