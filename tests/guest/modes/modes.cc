// SPDX-License-Identifier: Apache-2.0
#include "modes.h"

#include <array>

#include "../failure.h"

namespace guest {
namespace {

struct Mode {
  std::string_view name;
  void (*run)(Guest& guest);
};

constexpr std::array kModes{
    Mode{"access", &RunAccess},   Mode{"crash", &RunCrash},     Mode{"deaf", &RunDeaf},
    Mode{"early", &RunEarly},     Mode{"echo", &RunEcho},       Mode{"flood", &RunFlood},
    Mode{"hostile", &RunHostile}, Mode{"idle", &RunIdle},       Mode{"interrupts", &RunInterrupts},
    Mode{"latency", &RunLatency}, Mode{"lines", &RunLines},     Mode{"loopback", &RunLoopback},
    Mode{"off", &RunOff},         Mode{"pair", &RunPair},       Mode{"pmu", &RunPmu},
    Mode{"reboot", &RunReboot},   Mode{"regions", &RunRegions}, Mode{"reset", &RunReset},
    Mode{"several", &RunSeveral}, Mode{"smp", &RunSmp},         Mode{"spin", &RunSpin},
    Mode{"storm", &RunStorm},     Mode{"timer", &RunTimer},     Mode{"traffic", &RunTraffic},
    Mode{"wakeup", &RunWakeup},
};

}  // namespace

void RunModes(Guest& guest, std::string_view list) {
  while (!list.empty()) {
    const std::string_view name = TakeWord(list, ',');
    const Mode* found = nullptr;
    for (const Mode& mode : kModes) {
      if (mode.name == name) found = &mode;
    }
    if (found == nullptr) Fail("unknown mode ", name);
    found->run(guest);
  }
}

}  // namespace guest
