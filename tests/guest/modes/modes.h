// SPDX-License-Identifier: Apache-2.0
// What the guest can be asked to do (`mode=` on its command line). A mode prints its figures and
// returns, or fails; README.md describes each with its parameters.
#pragma once

#include <string_view>

#include "../guest.h"

namespace guest {

void RunAccess(Guest& guest);
void RunCrash(Guest& guest);
void RunDeaf(Guest& guest);
void RunEarly(Guest& guest);
void RunEcho(Guest& guest);
void RunFlood(Guest& guest);
void RunHostile(Guest& guest);
void RunIdle(Guest& guest);
void RunInterrupts(Guest& guest);
void RunLatency(Guest& guest);
void RunLines(Guest& guest);
void RunLoopback(Guest& guest);
void RunOff(Guest& guest);
void RunPair(Guest& guest);
void RunPmu(Guest& guest);
void RunReboot(Guest& guest);
void RunRegions(Guest& guest);
void RunReset(Guest& guest);
void RunSeveral(Guest& guest);
void RunSmp(Guest& guest);
void RunSpin(Guest& guest);
void RunStorm(Guest& guest);
void RunTimer(Guest& guest);
void RunTraffic(Guest& guest);
void RunWakeup(Guest& guest);

// Runs the modes of a comma-separated list in turn; an unknown name is a failure.
void RunModes(Guest& guest, std::string_view list);

}  // namespace guest
