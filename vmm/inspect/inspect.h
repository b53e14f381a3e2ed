// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vmm/inspect/inspection.h"

namespace microvm {

// What to take into account besides the tree.
struct InspectInput {
  std::optional<LiveFacts> live;   // nothing: a tree without its host
  std::vector<ClockFacts> clocks;  // of the node; rates as far as they are known
  ClocksBelow clocks_below = {};   // of the nodes below it
  // In Hz, of the clocks that the host's driver has, by name ("": the first); gone once VFIO has
  // the device.
  std::map<std::string, std::uint64_t> driver_rates = {};
};

// Says everything about one node of the tree; malformed properties are reasons, not exceptions.
// Makes the guest's node in a pretended VM of 128 MiB to see whether that works. Pure.
Inspection Inspect(const HostIndex& index, const DtNode& node, const InspectInput& input);

// What the planner would be told of the device, were it opened. Pure.
DeviceFacts PretendedFacts(const HostIndex& index, const Inspection& inspection,
                           const InspectInput& input);

// Whether the CPU reaches any of its registers.
bool HasReachedRegion(const Inspection& inspection);

// Whether an IOMMU stands before it.
bool BehindIommu(const Inspection& inspection);

// The node that a user means: a path, "ff070000.canfd" or "canfd@ff070000". Throws Error with
// what looks similar.
DtNode FindNode(const HostIndex& index, const std::string& name);

// The name Linux gives the device of a node (drivers/of/device.c: of_device_make_bus_id). It ends
// in the node's name, with or without its unit address.
std::string DeviceName(const DtNode& node);

// Decides `verdict`, `reasons`, `host_fixes` and `toml` from the rest and from `synthesis`, the
// reasons that making the guest's node gave. Pure.
void Judge(Inspection& inspection, std::vector<Reason> synthesis);

}  // namespace microvm
