// SPDX-License-Identifier: Apache-2.0
// The ways a guest can end.
#include "../cpu.h"
#include "modes.h"

namespace guest {

void RunOff(Guest& guest) {
  guest.console().Line("guest: ok off");
  guest.psci().SystemOff();
}

void RunReset(Guest& guest) {
  guest.console().Line("reset");
  guest.psci().SystemReset();
}

// No vectors and nothing to execute: every exception leads to the next, forever.
void RunCrash(Guest& guest) {
  constexpr std::uint64_t kNowhere = 0x7fff'ffff'f000;
  guest.console().Line("crash: jumping to ", Hex{kNowhere});
  asm volatile(
      "msr vbar_el1, %0\n\t"
      "isb\n\t"
      "br %0" ::"r"(kNowhere));
  Halt();
}

}  // namespace guest
