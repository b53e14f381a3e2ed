// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/overlay_additions.h"

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::uint32_t kSpi = 0;  // bindings/interrupt-controller/arm,gic-v3.yaml
constexpr std::size_t kGicCells = 3;
constexpr std::uint32_t kMaximumCells = 2;  // 64 bits

struct Range {
  std::uint64_t start;
  std::uint64_t last;
};

struct Owned {
  Range range;
  std::string owner;
};

std::uint64_t Number(std::span<const std::uint32_t> cells) {
  std::uint64_t number = 0;
  for (const std::uint32_t cell : cells) number = number << 32 | cell;
  return number;
}

// Whether what is below a node has the CPU's addresses.
bool HandsAddressesOn(const DtNode& bus) {
  for (std::optional<DtNode> at = bus; at->parent(); at = at->parent()) {
    const auto ranges = at->Property("ranges");
    if (!ranges || !ranges->value.empty()) return false;
  }
  return true;
}

// Where a node's registers are, as far as the CPU has them at the addresses in its `reg`.
std::vector<Range> Registers(const DtNode& node) {
  std::vector<Range> registers;
  const auto bus = node.parent();
  const auto reg = node.Property("reg");
  if (!bus || !reg || !HandsAddressesOn(*bus)) return registers;
  const std::size_t address = bus->Cell("#address-cells").value_or(2);
  const std::size_t size = bus->Cell("#size-cells").value_or(1);
  const auto cells = reg->Cells();
  if (!cells || address > kMaximumCells || size > kMaximumCells || size == 0) return registers;
  for (std::size_t at = 0; cells->size() - at >= address + size; at += address + size) {
    const auto entry = std::span(*cells).subspan(at, address + size);
    const std::uint64_t start = Number(entry.first(address));
    const std::uint64_t bytes = Number(entry.last(size));
    if (bytes == 0) continue;
    const bool wraps = start + (bytes - 1) < start;
    registers.push_back({start, wraps ? UINT64_MAX : start + (bytes - 1)});
  }
  return registers;
}

// The SPIs of a node's `interrupts`, if they are the GIC's.
std::vector<std::uint32_t> Spis(const DeviceTree& tree, const DtNode& node) {
  std::vector<std::uint32_t> spis;
  const auto interrupts = node.Property("interrupts");
  const auto controller = InterruptParent(tree, node);
  if (!interrupts || !controller || controller->Cell("#interrupt-cells") != kGicCells) return spis;
  const auto cells = interrupts->Cells();
  for (std::size_t at = 0; cells && cells->size() - at >= kGicCells; at += kGicCells) {
    if ((*cells)[at] == kSpi) spis.push_back((*cells)[at + 1]);
  }
  return spis;
}

bool IsReservedMemory(const DtNode& node) { return node.path().starts_with("/reserved-memory/"); }

bool IsMemory(const DtNode& node) {
  return node.Strings("device_type") == std::vector<std::string>{"memory"};
}

// What a tree's nodes have.
struct Taken {
  std::vector<Owned> registers;
  std::map<std::uint32_t, std::string> spis;

  explicit Taken(const DeviceTree& tree) {
    for (const DtNode& node : tree.AllNodes()) {
      for (const Range& range : Registers(node)) registers.push_back({range, node.path()});
      for (const std::uint32_t spi : Spis(tree, node)) spis.try_emplace(spi, node.path());
    }
  }
};

[[noreturn]] void Refuse(const std::string& file, const DtNode& node, const std::string& property,
                         const std::string& what, const std::string& remedy = {}) {
  throw Error("overlay " + file + ": " + node.path() + ": " + property + ": " + what, remedy);
}

void CheckRegisters(const Taken& taken, const DtNode& node, const std::string& file) {
  for (const Range& range : Registers(node)) {
    for (const Owned& other : taken.registers) {
      if (range.start > other.range.last || other.range.start > range.last) continue;
      Refuse(file, node, "reg",
             Hex(range.start) + "-" + Hex(range.last) + " is taken by " + other.owner);
    }
  }
}

}  // namespace

void CheckAdditions(const DeviceTree& before, const DeviceTree& after, const std::string& file) {
  const Taken taken(before);
  for (const DtNode& node : after.AllNodes()) {
    const auto there = before.Find(node.path());
    const auto is_new = [&](std::string_view property) {
      return node.Property(property) && !(there && there->Property(property));
    };
    if (is_new("device_type") && IsMemory(node)) {
      Refuse(file, node, "device_type", "the guest's memory is decided by the plan",
             "memory.size says how much there is");
    }
    if (is_new("reg") && !IsReservedMemory(node)) CheckRegisters(taken, node, file);
    if (!is_new("interrupts")) continue;
    for (const std::uint32_t spi : Spis(after, node)) {
      const auto other = taken.spis.find(spi);
      if (other == taken.spis.end()) continue;
      Refuse(file, node, "interrupts",
             "SPI " + std::to_string(spi) + " is taken by " + other->second);
    }
  }
}

}  // namespace microvm
