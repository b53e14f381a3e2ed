// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "vmm/fdt/device_tree.h"

namespace microvm {

// What kind of thing a device gets from the node that it refers to.
enum class SupplierClass {
  kClock,
  kReset,
  kPowerDomain,  // and performance states
  kPinctrl,      // pin states, and the pins behind GPIOs (gpio-ranges)
  kIommu,
  kInterconnect,
  kPhy,          // of USB, PCIe, SATA, SerDes lanes
  kEthernetPhy,  // and PCS, SFP cage
  kGpio,
  kRegulator,
  kDmaChannel,
  kMailbox,
  kThermal,
  kNvmem,
  kMemoryRegion,
  kSyscon,     // registers that belong to another node
  kInterrupt,  // interrupt and MSI controllers
  kOther,
};

// One reference of a node to another, in a tree that outlives it.
struct Reference {
  std::string_view property;
  std::size_t index;  // of the entry in the property; an entry of <0> counts, but is no reference
  SupplierClass supplier;
  DtNode target;
  std::vector<std::uint32_t> arguments;
};

// Every reference of the node's own properties to other nodes, by the consumer side of the common
// bindings (devicetree/bindings and dt-schema; drivers/of/property.c of Linux reads the same) and
// of the vendors' properties that Linux's arm64 trees use. A property with a vendor's prefix that
// is not known is taken for a reference if its name ends in "-gpio", "-gpios", "-supply", "syscon",
// "-handle" or "-phandle"; any other is data. Throws Error naming path and property if a reference
// is malformed: no such phandle, an entry cut short, no list of cells.
std::vector<Reference> References(const DeviceTree& tree, const DtNode& node);

// The same of one property of the node.
std::vector<Reference> References(const DeviceTree& tree, const DtNode& node,
                                  const DtProperty& property);

// The word for messages: "clock", "power domain".
const char* ToString(SupplierClass supplier);

}  // namespace microvm
