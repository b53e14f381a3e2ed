// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/device_node.h"

namespace microvm {

std::vector<std::optional<Trigger>> HostTriggers(const DeviceTree& tree, const DtNode& node) {
  // bindings/interrupt-controller/arm,gic*.yaml: the low four bits of the third cell are 1 or 2
  // for an edge, 4 or 8 for a level.
  const auto trigger_of =
      [](const DtNode& controller,
         const std::vector<std::uint32_t>& specifier) -> std::optional<Trigger> {
    const bool is_gic = controller.IsCompatible("arm,gic-v3") ||
                        controller.IsCompatible("arm,gic-400") ||
                        controller.IsCompatible("arm,cortex-a15-gic") ||
                        controller.IsCompatible("arm,cortex-a9-gic");
    if (!is_gic || specifier.size() < 3 || (specifier[2] & 0xf) == 0) return std::nullopt;
    return (specifier[2] & 0x3) != 0 ? Trigger::kEdge : Trigger::kLevel;
  };
  std::vector<std::optional<Trigger>> triggers;
  if (node.Property("interrupts-extended")) {
    for (const auto& entry :
         ReadReferences(tree, node, "interrupts-extended", "#interrupt-cells")) {
      triggers.push_back(entry ? trigger_of(entry->target, entry->arguments) : std::nullopt);
    }
    return triggers;
  }
  const auto property = node.Property("interrupts");
  const auto controller = InterruptParent(tree, node);
  if (!property || !controller) return triggers;
  const auto cells = property->Cells();
  const std::uint32_t count = controller->Cell("#interrupt-cells").value_or(0);
  if (!cells || count == 0) return triggers;
  for (std::size_t at = 0; at + count <= cells->size(); at += count) {
    const auto first = cells->begin() + static_cast<std::ptrdiff_t>(at);
    triggers.push_back(trigger_of(*controller, {first, first + count}));
  }
  return triggers;
}

}  // namespace microvm
