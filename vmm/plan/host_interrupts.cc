// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/host_interrupts.h"

#include <map>
#include <utility>

namespace microvm {
namespace {

// bindings/interrupt-controller/arm,gic*.yaml: type, number, flags; the low four bits of the flags
// are 1 or 2 for an edge, 4 or 8 for a level.
HostInterrupt Read(const DtNode& controller, std::vector<std::uint32_t> specifier) {
  HostInterrupt interrupt{controller.path(), std::move(specifier), std::nullopt, std::nullopt};
  const std::vector<std::uint32_t>& cells = interrupt.specifier;
  const bool is_gic =
      controller.IsCompatible("arm,gic-v3") || controller.IsCompatible("arm,gic-400") ||
      controller.IsCompatible("arm,cortex-a15-gic") || controller.IsCompatible("arm,cortex-a9-gic");
  if (!is_gic || cells.size() < 3) return interrupt;
  if ((cells[2] & 0xf) != 0) {
    interrupt.trigger = (cells[2] & 0x3) != 0 ? Trigger::kEdge : Trigger::kLevel;
  }
  constexpr std::uint32_t kLastSpi = 987;
  if (cells[0] <= 1 && cells[1] <= kLastSpi) interrupt.intid = cells[1] + (cells[0] == 0 ? 32 : 16);
  return interrupt;
}

}  // namespace

std::vector<HostInterrupt> HostInterrupts(const DeviceTree& tree, const DtNode& node) {
  std::vector<HostInterrupt> interrupts;
  if (node.Property("interrupts-extended")) {
    for (const auto& entry :
         ReadReferences(tree, node, "interrupts-extended", "#interrupt-cells")) {
      interrupts.push_back(entry ? Read(entry->target, entry->arguments) : HostInterrupt());
    }
    return interrupts;
  }
  const auto property = node.Property("interrupts");
  const auto controller = InterruptParent(tree, node);
  if (!property || !controller) return interrupts;
  const auto cells = property->Cells();
  const std::uint32_t count = controller->Cell("#interrupt-cells").value_or(0);
  if (!cells || count == 0) return interrupts;
  for (std::size_t at = 0; at + count <= cells->size(); at += count) {
    const auto first = cells->begin() + static_cast<std::ptrdiff_t>(at);
    interrupts.push_back(Read(*controller, {first, first + count}));
  }
  return interrupts;
}

std::vector<std::uint32_t> FirstOfEachLine(const std::vector<HostInterrupt>& interrupts,
                                           std::size_t count) {
  std::map<std::pair<std::string, std::vector<std::uint32_t>>, std::uint32_t> seen;
  std::vector<std::uint32_t> firsts;
  for (std::uint32_t index = 0; index < count; ++index) {
    firsts.push_back(index);
    if (index >= interrupts.size() || interrupts[index].controller.empty()) continue;
    const HostInterrupt& interrupt = interrupts[index];
    firsts.back() =
        seen.try_emplace({interrupt.controller, interrupt.specifier}, index).first->second;
  }
  return firsts;
}

}  // namespace microvm
