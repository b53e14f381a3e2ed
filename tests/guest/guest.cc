// SPDX-License-Identifier: Apache-2.0
#include "guest.h"

#include "cpu.h"
#include "failure.h"

namespace guest {

Guest::Guest(const Board& board, const Console& console, const Psci& psci, Gic& gic,
             AddressSpace& address_space)
    : board_(board),
      console_(console),
      psci_(psci),
      gic_(gic),
      address_space_(address_space),
      arguments_(board.arguments) {}

void Guest::StartInterrupts() {
  if (interrupts_started_) return;
  gic_.StartDistributor();
  gic_.StartCpu();
  ServiceInterruptsWith(gic_);
  UnmaskInterrupts();
  interrupts_started_ = true;
}

Pl031 Guest::device() const {
  if (board_.device.regions.empty()) Fail("no device under test in the device tree");
  return Pl031(board_.device.regions[0].start);
}

Interrupt Guest::device_interrupt() const {
  if (board_.device.interrupts.empty()) Fail("the device under test has no interrupt");
  return board_.device.interrupts[0];
}

void Guest::ConnectDevice(InterruptHandler handler) {
  StartInterrupts();
  gic_.SetHandler(device_interrupt().intid, handler);
  gic_.Enable(device_interrupt());
  device().EnableLine();
}

void Guest::DisconnectDevice() {
  device().Quiesce();
  gic_.Disable(device_interrupt());
}

}  // namespace guest
