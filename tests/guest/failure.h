// SPDX-License-Identifier: Apache-2.0
// The one way to give up: `guest: FAILED reason`, then power off.
#pragma once

#include "console.h"
#include "psci.h"

namespace guest {

// Where failures are reported from now on. Before this, a failure stops the CPU silently.
void ReportFailuresTo(const Console& console, const Psci& psci);

// The installed console, or nullptr.
const Console* FailureConsole();

[[noreturn]] void PowerOffAfterFailure();

template <typename... Parts>
[[noreturn, gnu::cold]] void Fail(const Parts&... parts) {
  if (const Console* console = FailureConsole()) console->Line("guest: FAILED ", parts...);
  PowerOffAfterFailure();
}

}  // namespace guest
