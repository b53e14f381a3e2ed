// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/fdt/device_tree.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// An interrupt of a node of the host's, as its specifier tells it.
struct HostInterrupt {
  std::string controller;                // path of its node; "": the tree does not tell
  std::vector<std::uint32_t> specifier;  // without what an interrupt nexus makes of it
  std::optional<Trigger> trigger;        // nothing: the controller's binding is not known
  std::optional<std::uint32_t> intid;    // of a GIC's SPI or PPI
};

// The interrupts of a node, in their order, which is VFIO's too.
std::vector<HostInterrupt> HostInterrupts(const DeviceTree& tree, const DtNode& node);

// For each of `count` interrupts the first that is on the same line, mostly itself. A driver may
// want a line twice (bindings/net/cdns,macb.yaml), which the kernel gives VFIO only once.
std::vector<std::uint32_t> FirstOfEachLine(const std::vector<HostInterrupt>& interrupts,
                                           std::size_t count);

}  // namespace microvm
