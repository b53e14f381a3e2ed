// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/overlay_additions.h"

#include <map>
#include <vector>

#include "vmm/fdt/references.h"
#include "vmm/fdt/regions.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::uint32_t kSpi = 0;  // bindings/interrupt-controller/arm,gic-v3.yaml
constexpr std::size_t kGicCells = 3;

struct Range {
  std::uint64_t start;
  std::uint64_t last;
};

struct Owned {
  Range range;
  std::string owner;
};

// Where the CPU has a node's registers.
std::vector<Range> Registers(const DtNode& node) {
  std::vector<Range> registers;
  for (const NodeRegion& region : ReadRegions(node)) {
    if (!region.cpu_address) continue;
    registers.push_back({*region.cpu_address, *region.cpu_address + (region.size_bytes - 1)});
  }
  return registers;
}

bool IsInterrupts(std::string_view property) {
  return property == "interrupts" || property == "interrupts-extended";
}

// The SPIs of a node: what it has of the controller that the whole tree's interrupts go to.
std::vector<std::uint32_t> Spis(const DeviceTree& tree, const DtNode& node) {
  std::vector<std::uint32_t> spis;
  const auto gic = InterruptParent(tree, tree.root());
  for (const DtProperty& property : node.properties()) {
    if (!IsInterrupts(property.name)) continue;
    for (const Reference& reference : References(tree, node, property)) {
      const auto& cells = reference.arguments;
      if (reference.target == gic && cells.size() == kGicCells && cells[0] == kSpi) {
        spis.push_back(cells[1]);
      }
    }
  }
  return spis;
}

bool IsReservedMemory(const DtNode& node) { return node.path().starts_with("/reserved-memory/"); }

bool IsMemory(const DtNode& node) {
  return node.Strings("device_type") == std::vector<std::string>{"memory"};
}

// Registers and interrupts, and whose they are.
class Taken {
 public:
  void AddRegisters(const DtNode& node) {
    for (const Range& range : Registers(node)) registers_.push_back({range, node.path()});
  }
  void AddSpis(const DeviceTree& tree, const DtNode& node) {
    for (const std::uint32_t spi : Spis(tree, node)) spis_.try_emplace(spi, node.path());
  }

  // The owner of any of the registers; "" if all are free. What lies in a node above `node` is its.
  [[nodiscard]] std::string OwnerOf(const Range& range, const DtNode& node) const {
    const std::string path = node.path();
    for (const Owned& other : registers_) {
      const bool is_apart = range.start > other.range.last || other.range.start > range.last;
      if (!is_apart && !path.starts_with(other.owner + "/")) return other.owner;
    }
    return "";
  }
  [[nodiscard]] std::string OwnerOf(std::uint32_t spi) const {
    const auto found = spis_.find(spi);
    return found == spis_.end() ? "" : found->second;
  }

 private:
  std::vector<Owned> registers_;
  std::map<std::uint32_t, std::string> spis_;
};

[[noreturn]] void Refuse(const std::string& file, const DtNode& node, const std::string& property,
                         const std::string& what, const std::string& remedy = {}) {
  throw Error("overlay " + file + ": " + node.path() + ": " + property + ": " + what, remedy);
}

void CheckRegisters(const Taken& taken, const DtNode& node, const std::string& file) {
  const auto registers = WithContext(Error("overlay " + file), [&] { return Registers(node); });
  for (const Range& range : registers) {
    const std::string owner = taken.OwnerOf(range, node);
    if (owner.empty()) continue;
    Refuse(file, node, "reg", Hex(range.start) + "-" + Hex(range.last) + " is taken by " + owner);
  }
}

void CheckSpis(const Taken& taken, const DeviceTree& tree, const DtNode& node,
               const std::string& file) {
  const auto spis = WithContext(Error("overlay " + file), [&] { return Spis(tree, node); });
  for (const std::uint32_t spi : spis) {
    const std::string owner = taken.OwnerOf(spi);
    if (owner.empty()) continue;
    Refuse(file, node, "interrupts", "SPI " + std::to_string(spi) + " is taken by " + owner);
  }
}

}  // namespace

void CheckAdditions(const DeviceTree& before, const DeviceTree& after, const std::string& file) {
  Taken taken;
  for (const DtNode& node : before.AllNodes()) {
    taken.AddRegisters(node);
    taken.AddSpis(before, node);
  }
  for (const DtNode& node : after.AllNodes()) {
    const auto there = before.Find(node.path());
    const auto is_new = [&](std::string_view property) {
      return node.Property(property) && !(there && there->Property(property));
    };
    if (is_new("device_type") && IsMemory(node)) {
      Refuse(file, node, "device_type", "the guest's memory is decided by the plan",
             "memory.size says how much there is");
    }
    if (is_new("reg") && !IsReservedMemory(node)) {
      CheckRegisters(taken, node, file);
      taken.AddRegisters(node);
    }
    if (is_new("interrupts") || is_new("interrupts-extended")) {
      CheckSpis(taken, after, node, file);
      taken.AddSpis(after, node);
    }
  }
}

}  // namespace microvm
