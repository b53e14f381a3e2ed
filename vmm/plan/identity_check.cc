// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/identity_check.h"

#include <algorithm>
#include <optional>
#include <string>

#include "vmm/fdt/dma_path.h"
#include "vmm/host/error.h"
#include "vmm/plan/reset_check.h"

namespace microvm {
namespace {

std::uint64_t Value(std::span<const std::uint32_t> cells) {
  std::uint64_t value = 0;
  for (const std::uint32_t cell : cells) value = value << 32 | cell;
  return value;
}

// The part of the address space that a bus hands on as it is. Throws Error if it changes addresses.
std::vector<AddressRange> Windows(const DtNode& bus, const std::vector<std::uint32_t>& cells) {
  constexpr std::size_t kMaximumCells = 2;
  const std::optional<DtNode> parent = bus.parent();
  const std::size_t child_cells = CellsBelow(bus, "#address-cells");
  const std::size_t size_cells = CellsBelow(bus, "#size-cells");
  const std::size_t parent_cells = parent ? CellsBelow(*parent, "#address-cells") : 0;
  const std::size_t entry_cells = child_cells + parent_cells + size_cells;
  if (child_cells > kMaximumCells || parent_cells > kMaximumCells || size_cells > kMaximumCells ||
      child_cells == 0 || parent_cells == 0 || size_cells == 0 || cells.size() % entry_cells != 0) {
    throw Error(bus.path() + ": dma-ranges that are not understood");
  }
  std::vector<AddressRange> windows;
  for (std::size_t at = 0; at < cells.size(); at += entry_cells) {
    const std::span<const std::uint32_t> entry(&cells[at], entry_cells);
    const std::uint64_t child = Value(entry.first(child_cells));
    if (child != Value(entry.subspan(child_cells, parent_cells))) {
      throw Error(bus.path() + ": its dma-ranges give memory other addresses than the CPUs have");
    }
    const std::uint64_t size = Value(entry.last(size_cells));
    if (size > 0) windows.emplace_back(GuestAddress{child}, size);
  }
  return windows;
}

void CheckReach(const DtNode& bus, const std::vector<AddressRange>& ram) {
  const auto property = bus.Property("dma-ranges");
  if (!property || property->value.empty()) return;
  const auto cells = property->Cells();
  if (!cells) throw Error(bus.path() + ": dma-ranges that are not understood");
  const std::vector<AddressRange> windows = Windows(bus, *cells);
  for (const AddressRange& part : ram) {
    const bool reached = std::any_of(windows.begin(), windows.end(), [&](const auto& window) {
      return window.Contains(part.start(), part.size_bytes());
    });
    if (reached) continue;
    throw Error(bus.path() + ": its dma-ranges leave out the host's memory at " + ToString(part) +
                ", which is the guest's");
  }
}

}  // namespace

void CheckIdentity(const DeviceFacts& facts, const std::vector<AddressRange>& ram) {
  const PlatformConfig& config = facts.config;
  if (config.dma != DmaMode::kIdentity) return;
  const std::string name = "'" + config.host + "': dma = \"identity\": ";
  if (!facts.can_reset && !Writes(config.reset.recipe) &&
      config.reset.policy != ResetPolicy::kNone) {
    throw Error(name +
                    "the kernel has no reset function for it and there is no recipe that writes: "
                    "it would go on writing to memory that is the host's again",
                "say how it is brought to rest, in [[platform.recipe]] tables; or write reset = "
                "\"none\": then the guest's memory is never given back to the host");
  }
  const auto node = facts.tree->Find(facts.node_path);
  if (!node) return;
  try {
    for (const DtNode& bus : DmaPath(*facts.tree, *node)) CheckReach(bus, ram);
  } catch (const Error& error) {
    throw Error(name + error.what(), "this device needs an IOMMU");
  }
}

}  // namespace microvm
