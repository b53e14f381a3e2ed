// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include "vmm/fdt/references.h"

namespace microvm {

// How a property's cells are laid out.
enum class ReferenceShape {
  kList,     // entries of a phandle and as many cells as the target's `cells` says
  kFixed,    // entries of a phandle and `count` cells
  kLeading,  // one phandle; the rest belongs to it
  kMap,      // entries of `count` cells, the second of which is a phandle (iommu-map, msi-map)
};

// A property that refers to other nodes, or all whose names start or end so.
struct ReferenceRule {
  std::string_view name;
  SupplierClass supplier;
  ReferenceShape shape = ReferenceShape::kLeading;
  std::string_view cells = {};
  std::size_t count = 0;
};

// Whether a property is a state of a consumer's pins: "pinctrl-0" (bindings/pinctrl/
// pinctrl-bindings.txt).
bool IsPinState(std::string_view property);

// The rule for a property of a node; nullptr if none says that it refers to anything. Pure.
const ReferenceRule* FindReferenceRule(const DtNode& node, std::string_view property);

}  // namespace microvm
