// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "vmm/fdt/device_tree.h"

namespace microvm {

// What becomes of a property against the general rules (vmm/plan/device_node.h), and why.
struct BoundProperty {
  enum class Action {
    kLeaveOut,  // the guest's driver does without
    kRefuse,    // it does not, and nothing in the guest can stand for it
  };
  std::string_view property;
  Action action;
  std::string_view reason;
};

// What is known of a device beyond the general rules.
struct DeviceBinding {
  std::string_view compatible;
  std::string_view document;  // below Documentation/devicetree/bindings of Linux, or whose it is
  std::span<const BoundProperty> properties;

  // Nothing if the general rules hold for `property`.
  [[nodiscard]] const BoundProperty* Find(std::string_view property) const;
};

// The binding of the first entry of the node's `compatible` that has one; null if none has.
const DeviceBinding* FindBinding(const DtNode& node);

// All of them.
std::span<const DeviceBinding> DeviceBindings();

}  // namespace microvm
