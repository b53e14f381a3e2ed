// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace microvm {

// Unmaps what is read-only of the program: its code and constants come back from the page cache as
// they are reached, and what only the start needed stays away.
void ReleaseProgramPages() noexcept;

}  // namespace microvm
