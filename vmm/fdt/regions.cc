// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/regions.h"

#include <algorithm>
#include <span>
#include <string>

#include "vmm/fdt/dma_path.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::uint64_t kPageBytes = 4096;
// drivers/of/of_private.h of Linux: OF_MAX_ADDR_CELLS.
constexpr std::uint32_t kMaximumCells = 4;
// More is a bus of its own kind, such as PCI, whose addresses have flags.
constexpr std::uint32_t kPlainAddressCells = 2;
constexpr std::uint32_t kPlainSizeCells = 2;  // 64 bits

std::uint32_t InheritedCell(const DtNode& bus, std::string_view name) {
  for (std::optional<DtNode> at = bus; at; at = at->parent()) {
    const auto cells = at->Cell(name);
    if (!cells) continue;
    if (*cells > kMaximumCells) {
      throw Error(at->path() + ": " + std::string(name) + " = " + std::to_string(*cells) +
                  " is more than " + std::to_string(kMaximumCells));
    }
    return *cells;
  }
  return 1;
}

// The low 64 bits of a number of cells.
std::uint64_t Number(std::span<const std::uint32_t> cells) {
  std::uint64_t number = 0;
  for (const std::uint32_t cell : cells) number = number << 32 | cell;
  return number;
}

std::vector<std::uint32_t> CellsOf(const DtNode& node, const DtProperty& property,
                                   std::size_t entry) {
  const auto cells = property.Cells();
  if (!cells || entry == 0 || cells->size() % entry != 0) {
    throw Error(node.path() + ": " + std::string(property.name) + ": " +
                std::to_string(property.value.size()) + " bytes are no list of entries of " +
                std::to_string(entry) + " cells");
  }
  return *cells;
}

// Each of a node's addresses is looked for in all windows of its bus, each time.
void CheckCount(const DtNode& node, const DtProperty& property, std::size_t entries) {
  constexpr std::size_t kMaximum = 512;
  if (entries <= kMaximum) return;
  throw Error(node.path() + ": " + std::string(property.name) + ": " + std::to_string(entries) +
              " entries are more than " + std::to_string(kMaximum));
}

struct Window {
  std::uint64_t child;
  std::uint64_t parent;
  std::uint64_t size_bytes;
};

// The entries of a bus's `ranges` or `dma-ranges`.
std::vector<Window> ReadWindows(const DtNode& bus, const DtProperty& property,
                                const BusCells& inner, const BusCells& outer) {
  const std::size_t entry = std::size_t{inner.address} + outer.address + inner.size;
  const std::vector<std::uint32_t> cells = CellsOf(bus, property, entry);
  CheckCount(bus, property, cells.size() / entry);
  std::vector<Window> windows;
  for (std::size_t at = 0; at < cells.size(); at += entry) {
    const auto whole = std::span(cells).subspan(at, entry);
    windows.push_back({Number(whole.first(inner.address)),
                       Number(whole.subspan(inner.address, outer.address)),
                       Number(whole.last(inner.size))});
  }
  return windows;
}

// Of an address, or of all of `size_bytes` from there on.
std::optional<std::uint64_t> ThroughWindows(const std::vector<Window>& windows,
                                            std::uint64_t address, std::uint64_t size_bytes = 1) {
  for (const Window& window : windows) {
    if (address < window.child || address - window.child >= window.size_bytes) continue;
    if (size_bytes > window.size_bytes - (address - window.child)) return std::nullopt;
    const std::uint64_t translated = window.parent + (address - window.child);
    if (translated < window.parent) return std::nullopt;
    return translated;
  }
  return std::nullopt;
}

// Of a bus that has one above.
std::vector<Window> WindowsUp(const DtNode& bus, const DtProperty& property) {
  return ReadWindows(bus, property, ReadBusCells(bus), ReadBusCells(bus.parent().value()));
}

// `dma-ranges` that say anything.
std::optional<DtProperty> DmaRanges(const DtNode& bus) {
  const auto property = bus.Property("dma-ranges");
  return property && !property->value.empty() ? property : std::nullopt;
}

using WindowsOfBuses = std::vector<std::vector<Window>>;

// Through the windows of one bus after the other; nothing if it leads nowhere.
std::optional<std::uint64_t> Through(const WindowsOfBuses& buses, std::uint64_t address,
                                     std::uint64_t size_bytes = 1) {
  for (const std::vector<Window>& windows : buses) {
    const auto translated = ThroughWindows(windows, address, size_bytes);
    if (!translated) return std::nullopt;
    address = *translated;
  }
  return address;
}

// Of those buses that change the addresses of DMA.
WindowsOfBuses WindowsToMemory(std::span<const DtNode> buses) {
  WindowsOfBuses windows;
  for (const DtNode& bus : buses) {
    if (const auto ranges = DmaRanges(bus)) windows.push_back(WindowsUp(bus, *ranges));
  }
  return windows;
}

// The windows of `bus` and the buses above it, as far as they change an address; nothing if the CPU
// does not reach what is on `bus`.
std::optional<WindowsOfBuses> WindowsToCpu(const DtNode& bus) {
  WindowsOfBuses windows;
  DtNode at = bus;
  BusCells inner = ReadBusCells(at);
  for (std::optional<DtNode> above = at.parent(); above; above = at.parent()) {
    const BusCells outer = ReadBusCells(*above);
    const auto ranges = at.Property("ranges");
    if (!ranges || inner.address > kPlainAddressCells || outer.address > kPlainAddressCells) {
      return std::nullopt;
    }
    if (!ranges->value.empty()) windows.push_back(ReadWindows(at, *ranges, inner, outer));
    at = *above;
    inner = outer;
  }
  if (inner.address > kPlainAddressCells) return std::nullopt;
  return windows;
}

}  // namespace

bool NodeRegion::IsPageAligned() const {
  return cpu_address && *cpu_address % kPageBytes == 0 && size_bytes % kPageBytes == 0;
}

BusCells ReadBusCells(const DtNode& bus) {
  return {InheritedCell(bus, "#address-cells"), InheritedCell(bus, "#size-cells")};
}

std::vector<NodeRegion> ReadRegions(const DtNode& node) {
  std::vector<NodeRegion> regions;
  const auto reg = node.Property("reg");
  const auto bus = node.parent();
  if (!reg || !bus) return regions;
  const BusCells bus_cells = ReadBusCells(*bus);
  const std::size_t entry = std::size_t{bus_cells.address} + bus_cells.size;
  const std::vector<std::uint32_t> cells = CellsOf(node, *reg, entry);
  CheckCount(node, *reg, cells.size() / entry);
  const auto buses = WindowsToCpu(*bus);
  for (std::size_t at = 0; at < cells.size(); at += entry) {
    const auto whole = std::span(cells).subspan(at, entry);
    NodeRegion region;
    region.bus_address = Number(whole.first(bus_cells.address));
    region.size_bytes = Number(whole.last(bus_cells.size));
    if (region.size_bytes > 0 && buses) {
      region.cpu_address = Through(*buses, region.bus_address, region.size_bytes);
    }
    if (region.cpu_address && *region.cpu_address + (region.size_bytes - 1) < *region.cpu_address) {
      throw Error(node.path() + ": reg: " + Hex(*region.cpu_address) + " + " +
                  Hex(region.size_bytes) + " goes beyond 2^64");
    }
    if (bus_cells.size > kPlainSizeCells &&
        Number(whole.last(bus_cells.size).first(bus_cells.size - kPlainSizeCells)) != 0) {
      throw Error(node.path() + ": reg: a size of more than 2^64");
    }
    regions.push_back(region);
  }
  return regions;
}

std::vector<DmaWindow> ReadDmaWindows(const DeviceTree& tree, const DtNode& node) {
  std::vector<DtNode> buses = DmaPath(tree, node);
  if (!buses.empty()) buses.pop_back();  // the root's addresses are memory's
  std::size_t nearest = 0;
  while (nearest < buses.size() && !DmaRanges(buses[nearest])) {
    if (nearest > 0 && !buses[nearest].Property("dma-ranges")) return {};
    ++nearest;
  }
  if (nearest == buses.size()) return {};
  const DtNode& bus = buses[nearest];
  std::vector<DmaWindow> windows;
  const WindowsOfBuses above = WindowsToMemory(std::span(buses).subspan(nearest + 1));
  for (const Window& window : WindowsUp(bus, DmaRanges(bus).value())) {
    const auto cpu_address = Through(above, window.parent);
    if (cpu_address) windows.push_back({window.child, *cpu_address, window.size_bytes});
  }
  if (windows.empty()) throw Error(bus.path() + ": dma-ranges: none of them leads to memory");
  return windows;
}

}  // namespace microvm
