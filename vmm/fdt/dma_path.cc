// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/dma_path.h"

#include <algorithm>
#include <optional>
#include <string>

#include "vmm/fdt/references.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

// Nodes are no deeper than that, and no board's interconnects make the way longer.
constexpr std::size_t kMaximumBuses = 64;

std::optional<DtNode> DmaParent(const DeviceTree& tree, const DtNode& node) {
  const std::vector<std::string> names = node.Strings("interconnect-names");
  const auto found = std::find(names.begin(), names.end(), "dma-mem");
  if (found == names.end()) return node.parent();
  const auto paths = ReadReferences(tree, node, "interconnects", "#interconnect-cells");
  const auto index = static_cast<std::size_t>(found - names.begin());
  return index < paths.size() && paths[index] ? paths[index]->target : node.parent();
}

}  // namespace

std::vector<DtNode> DmaPath(const DeviceTree& tree, const DtNode& node) {
  std::vector<DtNode> path;
  for (auto bus = DmaParent(tree, node); bus; bus = DmaParent(tree, *bus)) {
    if (path.size() == kMaximumBuses) {
      throw Error(node.path() + ": interconnects: its DMA leads round in a circle");
    }
    path.push_back(*bus);
  }
  return path;
}

}  // namespace microvm
