// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/address_cells.h"

#include <algorithm>
#include <string>

#include "vmm/plan/obstacle.h"
#include "vmm/plan/planned_values.h"

namespace microvm {
namespace {

constexpr std::uint32_t kMaximumCells = 4;
constexpr std::size_t kCellBytes = 4;

bool IsCount(std::string_view name) { return name == "#address-cells" || name == "#size-cells"; }

}  // namespace

std::vector<PlannedProperty> InheritedCells(const DtNode& from) {
  const std::vector<DtNode> children = from.children();
  std::vector<PlannedProperty> properties;
  if (std::any_of(children.begin(), children.end(),
                  [](const DtNode& child) { return child.Property("reg").has_value(); })) {
    for (const char* name : {"#address-cells", "#size-cells"}) {
      if (from.Property(name)) continue;
      properties.push_back({name, CellBytes({CellsBelow(from, name)}),
                            "none in the host's: as Linux reads it there"});
    }
  } else if (from.Property("interrupt-controller") && !from.Property("#address-cells")) {
    // Trees of boards leave it out where dtc wants it (Devicetree Specification 2.4.3.1).
    properties.push_back({"#address-cells", CellBytes({0}), "none in the host's: the default"});
  }
  return properties;
}

void CheckCells(const DeviceFacts& facts, const DtNode& node, const DtProperty& property) {
  const bool is_device = node.path() == facts.node_path;
  if (IsCount(property.name)) {
    const auto cells = property.Cells();
    if (cells && cells->size() == 1 && cells->front() <= kMaximumCells) return;
    Refuse(facts, node, property.name,
           "is no number of cells, of which an address has " + std::to_string(kMaximumCells) +
               " at most");
  }
  const auto parent = node.parent();
  if (is_device || property.name != "reg" || !parent) return;
  const std::uint64_t cells =
      std::uint64_t{CellsBelow(*parent, "#address-cells")} + CellsBelow(*parent, "#size-cells");
  if (cells != 0 && property.value.size() % (cells * kCellBytes) == 0) return;
  Refuse(facts, node, property.name,
         "has " + std::to_string(property.value.size()) + " bytes, which are no addresses of " +
             std::to_string(cells) + " cells");
}

}  // namespace microvm
