// SPDX-License-Identifier: Apache-2.0
#include "failure.h"

#include "cpu.h"

namespace guest {
namespace {

// Exception handlers have no caller to hand these to.
const Console* failure_console = nullptr;
const Psci* failure_psci = nullptr;

}  // namespace

void ReportFailuresTo(const Console& console, const Psci& psci) {
  failure_console = &console;
  failure_psci = &psci;
}

const Console* FailureConsole() { return failure_console; }

void PowerOffAfterFailure() {
  if (failure_psci != nullptr) failure_psci->SystemOff();
  Halt();
}

}  // namespace guest
