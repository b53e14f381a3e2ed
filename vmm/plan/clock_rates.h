// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "vmm/plan/device_facts.h"

namespace microvm {

// The rate in Hz, below 2^32, of an entry of the host node's `clocks`: the configuration's, else
// the host's. Nothing for an entry of <0>, which keeps its place. Throws Error with the remedy if
// neither tells it. Pure.
std::optional<std::uint64_t> ClockRate(const DeviceFacts& facts, std::size_t index);

// Throws Error with the names that there are if the configuration gives a rate to a clock that the
// node does not have: a slip of the pen.
void CheckClockNames(const DeviceFacts& facts);

}  // namespace microvm
