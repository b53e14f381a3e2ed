// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/fdt/device_tree.h"
#include "vmm/fdt/references.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// What a specifier means to its controller.
struct InterruptLine {
  std::string controller;                // path, behind every interrupt nexus
  std::vector<std::uint32_t> specifier;  // as that controller reads it
  std::vector<std::uint32_t> number;     // the part of it that tells lines apart
  std::string kind;                      // of a GIC: "SPI", "PPI", "ESPI", "EPPI"; else ""
  std::optional<std::uint32_t> intid;    // of a GIC
  std::string impossible = {};           // why no controller can have it, "is ..."; "": it can
  std::optional<Trigger> trigger;        // nothing: the specifier does not say
};

// What tells lines apart, whatever triggers them: the kernel gives a line once, and a line has one
// trigger. Of a GIC `number` is the INTID, else the specifier without the trigger, its last cell.
struct LineIdentity {
  std::string controller;
  std::vector<std::uint32_t> number;
  auto operator<=>(const LineIdentity&) const = default;
};
LineIdentity IdentityOf(const InterruptLine& line);

// Follows `interrupt-map` upwards, and reads GIC specifiers (bindings/interrupt-controller/
// arm,gic.yaml, arm,gic-v3.yaml) and those of two cells (interrupts.txt). `node` has the interrupt,
// whose specifier is for `controller`. Throws Error naming the nexus if its map is malformed or
// leads round in a circle.
InterruptLine ReadInterruptLine(const DeviceTree& tree, const DtNode& node,
                                const DtNode& controller, std::vector<std::uint32_t> specifier);
// The same of an entry of a nexus's `interrupt-map`, as vmm/fdt/references.h reads it: the parent's
// address, then its specifier.
InterruptLine ReadMappedLine(const DeviceTree& tree, const DtNode& nexus, const Reference& entry);

}  // namespace microvm
