// SPDX-License-Identifier: Apache-2.0
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

}  // namespace guest
