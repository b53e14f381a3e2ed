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
    Mode{"interrupts", &RunInterrupts}, Mode{"latency", &RunLatency}, Mode{"off", &RunOff},
    Mode{"reset", &RunReset},           Mode{"smp", &RunSmp},
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
