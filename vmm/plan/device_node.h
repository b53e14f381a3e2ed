// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "vmm/plan/obstacle.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// The guest's phandles of the host's nodes that are passed through, by path, and of those below.
using PassedNodes = std::map<std::string, std::uint32_t>;

// Fills `device.node`, `companions`, `clocks`, `resets` and `left_out` from the host's node by the
// rules below; `device.regions`, `interrupts` and `phandle` are decided already. Further phandles
// are taken from `next_phandle` on. Throws Error naming the node and each property that cannot
// cross, with the remedies.
//
// For each property the first rule that holds:
// - the configuration sets it, or leaves it out (`properties`, `drop`);
// - `reg`, `interrupts` and `clocks` are written anew: what the plan decided, a fixed clock for
//   each; `dma-coherent` or `dma-noncoherent` too, if the nearest node above has it;
// - the device's binding leaves it out or refuses it (device_binding.h);
// - it is about what only the host acts on (property_rules.h): left out;
// - it refers to another node (vmm/fdt/references.h), which the guest has if it is the device's own
//   node or one below it, another device that is passed through, or a node of mere data, which is
//   copied: the reference is rewritten to that. A reset goes to a controller that does nothing; a
//   clock of a node below becomes a fixed one of its rate. What else it refers to is an error;
// - else it is data and copied.
// Names beside a list ("reset-names") lose the entries that the list loses. An Ethernet PHY below
// the device whose interrupt the guest cannot have is polled.
void MakeDeviceNode(const DeviceFacts& facts, PlannedDevice& device, std::uint32_t& next_phandle,
                    const PassedNodes& passed = {});

// What MakeDeviceNode would throw for; at most kMostObstacles. Throws Error if the configuration
// drops or sets what the node does not have.
std::vector<Obstacle> FindObstacles(const DeviceFacts& facts);
// A node with more is no device: it stands for a whole bus.
inline constexpr std::size_t kMostObstacles = 64;

}  // namespace microvm
