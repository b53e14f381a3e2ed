// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/plan/device_facts.h"

namespace microvm {

// The rate in Hz of an entry of the host node's `clocks`: the configuration's, else the host's.
// Nothing for an entry of <0>, which keeps its place, and if neither tells it. Pure.
std::optional<std::uint64_t> ClockRate(const DeviceFacts& facts, std::size_t index);

// Throws Error with the remedy if a rate of an entry that is not `dropped` is not known, naming all
// such, or is 2^32 or more. Pure.
void CheckClockRates(const DeviceFacts& facts, const std::vector<bool>& dropped);

// Throws Error with the names that there are if the configuration gives a rate to a clock that the
// node does not have: a slip of the pen.
void CheckClockNames(const DeviceFacts& facts);

}  // namespace microvm
