// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/interrupt_line.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// A chain of nexus nodes longer than any board's: a circle.
constexpr int kMaximumNexus = 8;
// Of an interrupt-map, which is searched for each interrupt that goes through it. No board's has
// half of it.
constexpr std::size_t kMaximumMapCells = 1024;
constexpr std::uint32_t kMaximumCells = 16;  // drivers/of/of_private.h of Linux: MAX_PHANDLE_ARGS

constexpr std::array<std::string_view, 12> kGics = {
    "arm,pl390",      "arm,tc11mp-gic",     "qcom,msm-8660-qgic", "arm,gic-v3",
    "arm,gic-400",    "arm,cortex-a15-gic", "arm,cortex-a9-gic",  "arm,cortex-a7-gic",
    "qcom,msm-qgic2", "arm,cortex-a5-gic",  "arm,eb11mp-gic",     "arm,arm11mp-gic"};

// Whose specifiers say nothing of a trigger: bank and number (bindings/interrupt-controller/
// brcm,bcm2835-armctrl-ic.txt).
constexpr std::array<std::string_view, 2> kWithoutTrigger = {"brcm,bcm2835-armctrl-ic",
                                                             "brcm,bcm2836-armctrl-ic"};

bool HasOneOf(const std::vector<std::string>& compatible, const auto& list) {
  return std::find_first_of(compatible.begin(), compatible.end(), list.begin(), list.end()) !=
         compatible.end();
}

// The low four bits of the flags are 1 or 2 for an edge, 4 or 8 for a level.
std::optional<Trigger> TriggerOf(std::uint32_t flags) {
  if ((flags & 0xf) == 0) return std::nullopt;
  return (flags & 0x3) != 0 ? Trigger::kEdge : Trigger::kLevel;
}

std::uint32_t CellCount(const DtNode& node, std::string_view name) {
  const std::uint32_t count = node.Cell(name).value_or(0);
  if (count > kMaximumCells) {
    throw Error(node.path() + ": " + std::string(name) + " = " + std::to_string(count) +
                " is more than " + std::to_string(kMaximumCells));
  }
  return count;
}

// An interrupt on its way up: the node that reads it, the unit address and the specifier.
struct Signal {
  DtNode at;
  std::vector<std::uint32_t> address;
  std::vector<std::uint32_t> specifier;
};

// One step through a nexus (Devicetree Specification 2.4.3); nothing if its map has no such entry.
std::optional<Signal> ThroughNexus(const DeviceTree& tree, const Signal& signal,
                                   const std::vector<std::uint32_t>& map) {
  const DtNode& nexus = signal.at;
  const std::uint32_t address_cells = CellCount(nexus, "#address-cells");
  const std::uint32_t interrupt_cells = CellCount(nexus, "#interrupt-cells");
  std::vector<std::uint32_t> wanted = signal.address;
  wanted.resize(address_cells);
  wanted.insert(wanted.end(), signal.specifier.begin(), signal.specifier.end());
  wanted.resize(std::size_t{address_cells} + interrupt_cells);
  std::vector<std::uint32_t> mask(wanted.size(), ~0U);
  if (const auto given = nexus.Property("interrupt-map-mask")) {
    const auto cells = given->Cells();
    if (!cells || cells->size() != mask.size()) {
      throw Error(nexus.path() + ": interrupt-map-mask: not " + std::to_string(mask.size()) +
                  " cells");
    }
    mask = *cells;
  }
  // Most entries of a map are for the same controller.
  std::uint32_t phandle = 0;
  std::optional<DtNode> parent;
  std::size_t address = 0;
  std::size_t specifier = 0;
  for (std::size_t at = 0; at < map.size();) {
    if (map.size() - at <= wanted.size()) break;
    bool matches = true;
    for (std::size_t index = 0; index < wanted.size(); ++index) {
      matches = matches && ((wanted[index] ^ map[at + index]) & mask[index]) == 0;
    }
    at += wanted.size();
    if (std::exchange(phandle, map[at++]) != phandle || !parent) {
      parent = tree.ByPhandle(phandle);
      if (!parent) throw Error(nexus.path() + ": interrupt-map: no such phandle");
      address = CellCount(*parent, "#address-cells");
      specifier = CellCount(*parent, "#interrupt-cells");
    }
    if (map.size() - at < address + specifier) break;
    if (matches) {
      const auto rest = std::span(map).subspan(at);
      const auto first = rest.first(address);
      const auto second = rest.subspan(address, specifier);
      return Signal{*parent, {first.begin(), first.end()}, {second.begin(), second.end()}};
    }
    at += address + specifier;
  }
  return std::nullopt;
}

void ReadGicSpecifier(InterruptLine& line) {
  // Type, number, flags.
  struct Type {
    const char* name;
    std::uint32_t first_intid;
    std::uint32_t count;
  };
  constexpr std::array kTypes = {Type{"SPI", 32, 988}, Type{"PPI", 16, 16},
                                 Type{"ESPI", 4096, 1024}, Type{"EPPI", 1056, 64}};
  const std::vector<std::uint32_t>& cells = line.specifier;
  if (cells.size() < 3) return;
  line.trigger = TriggerOf(cells[2]);
  if (cells[0] >= kTypes.size() || cells[1] >= kTypes[cells[0]].count) {
    line.impossible = "is none that a GIC has";
    return;
  }
  // drivers/irqchip/irq-gic-v3.c and irq-gic.c: the restrictions of SPIs.
  const std::uint32_t sense = cells[2] & 0xf;
  const bool is_private = cells[0] % 2 == 1;
  if (!is_private && sense != 0 && sense != 1 && sense != 4) {
    line.impossible = "asks for a trigger that no SPI has";
  }
  line.kind = kTypes[cells[0]].name;
  line.intid = kTypes[cells[0]].first_intid + cells[1];
  line.number = {*line.intid};
}

// What a controller makes of its specifier.
InterruptLine ReadSpecifier(const Signal& signal) {
  InterruptLine line;
  line.controller = signal.at.path();
  line.specifier = signal.specifier;
  line.number = signal.specifier;
  const std::vector<std::string> compatible = signal.at.Strings("compatible");
  if (HasOneOf(compatible, kGics)) {
    ReadGicSpecifier(line);
  } else if (line.number.size() > 1 && !HasOneOf(compatible, kWithoutTrigger)) {
    line.number.pop_back();
    if (line.specifier.size() == 2) line.trigger = TriggerOf(line.specifier[1]);
  }
  return line;
}

// Up to the controller that is behind every nexus; `node` has the interrupt.
InterruptLine Follow(const DeviceTree& tree, const DtNode& node, Signal signal) {
  for (int step = 0;; ++step) {
    const auto map = signal.at.Property("interrupt-map");
    if (!map) return ReadSpecifier(signal);
    if (step == kMaximumNexus)
      throw Error(signal.at.path() + ": interrupt-map: it leads in a circle");
    const std::size_t map_cells = map->value.size() / sizeof(std::uint32_t);
    if (map_cells > kMaximumMapCells) {
      throw Error(signal.at.path() + ": interrupt-map: " + std::to_string(map_cells) +
                  " cells are more than " + std::to_string(kMaximumMapCells));
    }
    auto next = ThroughNexus(tree, signal, map->Cells().value_or(std::vector<std::uint32_t>()));
    if (!next) {
      throw Error(signal.at.path() + ": interrupt-map: it has no entry for an interrupt of " +
                  node.path());
    }
    signal = std::move(*next);
  }
}

}  // namespace

LineIdentity IdentityOf(const InterruptLine& line) { return {line.controller, line.number}; }

InterruptLine ReadInterruptLine(const DeviceTree& tree, const DtNode& node,
                                const DtNode& controller, std::vector<std::uint32_t> specifier) {
  Signal signal{controller, {}, std::move(specifier)};
  // The unit address, as far as a nexus looks at it.
  if (const auto reg = node.Property("reg")) signal.address = reg->Cells().value_or(signal.address);
  return Follow(tree, node, std::move(signal));
}

InterruptLine ReadMappedLine(const DeviceTree& tree, const DtNode& nexus, const Reference& entry) {
  const std::span cells(entry.arguments);
  const std::size_t address_cells = CellCount(entry.target, "#address-cells");
  const auto address = cells.first(std::min(address_cells, cells.size()));
  const auto specifier = cells.subspan(address.size());
  return Follow(
      tree, nexus,
      {entry.target, {address.begin(), address.end()}, {specifier.begin(), specifier.end()}});
}

}  // namespace microvm
