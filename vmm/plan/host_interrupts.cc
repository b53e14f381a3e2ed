// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/host_interrupts.h"

#include <map>

namespace microvm {

std::vector<InterruptLine> HostInterrupts(const DeviceTree& tree, const DtNode& node) {
  std::vector<InterruptLine> interrupts;
  if (node.Property("interrupts-extended")) {
    for (const auto& entry :
         ReadReferences(tree, node, "interrupts-extended", "#interrupt-cells")) {
      interrupts.push_back(entry ? ReadInterruptLine(tree, node, entry->target, entry->arguments)
                                 : InterruptLine());
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
    interrupts.push_back(ReadInterruptLine(tree, node, *controller, {first, first + count}));
  }
  return interrupts;
}

std::vector<std::uint32_t> FirstOfEachLine(const std::vector<InterruptLine>& interrupts,
                                           std::size_t count) {
  std::map<LineIdentity, std::uint32_t> seen;
  std::vector<std::uint32_t> firsts;
  for (std::uint32_t index = 0; index < count; ++index) {
    firsts.push_back(index);
    if (index >= interrupts.size() || interrupts[index].controller.empty()) continue;
    firsts.back() = seen.try_emplace(IdentityOf(interrupts[index]), index).first->second;
  }
  return firsts;
}

}  // namespace microvm
