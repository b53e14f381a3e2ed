// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "vmm/fdt/device_tree.h"
#include "vmm/plan/device_facts.h"

namespace microvm {

// What the plan writes anew for the device's own node, or is meaningless outside its tree.
bool IsRewritten(std::string_view property);

// Why a property stays with the host whatever the device is: it is about something the host has
// done, or does, for the device. Nothing if it does not.
std::optional<std::string_view> HostOnlyReason(std::string_view property);

// Whether a property of any node is one string (Devicetree Specification 2.3).
bool IsText(std::string_view property);
// Whether a property speaks of the host's addresses or interrupts in a way that cannot be
// rewritten.
bool IsHostMap(std::string_view property);

// Whether the nodes a property refers to are mere data, that the guest's driver reads.
bool RefersToData(std::string_view property);

// The list whose entries a property names ("clocks" of "clock-names"), and the other way round;
// "" if there is none.
std::string_view ListOfNames(std::string_view names);
std::string_view NamesOfList(std::string_view list);

// What `drop` says (README.md, Configuration): "PROPERTY" in the device's node and all below it,
// "CHILD/PROPERTY" in one node below, "LIST:ENTRY" one entry, by name or number, of a list of the
// device's node.
bool IsDropped(const DeviceFacts& facts, const DtNode& node, std::string_view property);
// For each of the `count` entries of a list of the device's node, whether it is dropped.
std::vector<bool> DroppedEntries(const DeviceFacts& facts, const DtNode& device,
                                 std::string_view list, std::size_t count);
// The others, by their numbers.
std::vector<std::uint32_t> KeptEntries(const DeviceFacts& facts, std::string_view list,
                                       std::size_t count);
// Throws Error naming an entry of `drop` that names nothing of the device's node.
void CheckDrop(const DeviceFacts& facts, const DtNode& device);

}  // namespace microvm
