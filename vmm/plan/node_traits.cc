// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/node_traits.h"

#include <algorithm>
#include <vector>

#include "vmm/fdt/dma_path.h"

namespace microvm {

std::string BaseName(const DtNode& node) {
  return std::string(node.name().substr(0, node.name().find('@')));
}

bool IsMereData(const DtNode& node) {
  return node.parent() && !node.Property("compatible") && !node.Property("reg");
}

bool IsEthernetPhy(const DtNode& node) {
  const std::vector<std::string> compatible = node.Strings("compatible");
  const bool says_so =
      std::any_of(compatible.begin(), compatible.end(),
                  [](const std::string& text) { return text.starts_with("ethernet-phy"); });
  return says_so || BaseName(node) == "ethernet-phy" ||
         (node.parent() && BaseName(*node.parent()) == "mdio");
}

std::optional<DmaCoherence> FindDmaCoherence(const DeviceTree& tree, const DtNode& node) {
  const auto said_by = [](const DtNode& at) -> std::optional<DmaCoherence> {
    if (at.Property("dma-coherent")) return DmaCoherence{at, true};
    if (at.Property("dma-noncoherent")) return DmaCoherence{at, false};
    return std::nullopt;
  };
  if (const auto own = said_by(node)) return own;
  for (const DtNode& bus : DmaPath(tree, node)) {
    if (const auto said = said_by(bus)) return said;
  }
  return std::nullopt;
}

}  // namespace microvm
