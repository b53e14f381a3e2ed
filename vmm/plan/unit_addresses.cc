// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/unit_addresses.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "vmm/fdt/device_tree.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

const PlannedProperty* Find(const PlannedNode& node, std::string_view name) {
  const auto found =
      std::find_if(node.properties.begin(), node.properties.end(),
                   [&](const PlannedProperty& property) { return property.name == name; });
  return found == node.properties.end() ? nullptr : &*found;
}

bool HasValue(const PlannedNode& node, std::string_view name) {
  const PlannedProperty* property = Find(node, name);
  return property != nullptr && !property->value.empty();
}

// dtc takes `ranges` for an address too.
bool HasAddress(const PlannedNode& node) {
  return HasValue(node, "reg") || HasValue(node, "ranges");
}

std::vector<std::uint32_t> CellsOf(const PlannedNode& node, std::string_view name) {
  const PlannedProperty* property = Find(node, name);
  if (property == nullptr) return {};
  return DtProperty{property->name, property->value}.Cells().value_or(std::vector<std::uint32_t>());
}

std::string BaseOf(const PlannedNode& node) { return node.name.substr(0, node.name.find('@')); }

std::string_view UnitAddressOf(const PlannedNode& node) {
  const std::size_t at = node.name.find('@');
  return at == std::string::npos ? std::string_view() : std::string_view(node.name).substr(at + 1);
}

// Of a node that is alone below its parent: a port or endpoint, with number 0 or none.
bool NeedsNoNumber(const PlannedNode& node) {
  const std::string base = BaseOf(node);
  if (base != "port" && base != "endpoint") return false;
  const std::vector<std::uint32_t> reg = CellsOf(node, "reg");
  return std::all_of(reg.begin(), reg.end(), [](std::uint32_t cell) { return cell == 0; });
}

class Corrector {
 public:
  Corrector(std::vector<std::string>& left_out, bool overlays)
      : left_out_(left_out), overlays_(overlays) {}

  // Of all below a node; `path` is what it is called in `left_out`.
  void Correct(PlannedNode& node, const std::string& path) {
    for (PlannedNode& child : node.children) Correct(child, path + "/" + child.name);
    if (!overlays_ && node.children.size() == 1 && NeedsNoNumber(node.children.front())) {
      Drop(node.children.front(), path + "/" + node.children.front().name, "reg",
           "the only one of its graph needs no number");
      DropCells(node, path);
    }
    CorrectNames(node, path);
    const bool counts = HasValue(node, "ranges") || HasValue(node, "dma-ranges") ||
                        Find(node, "interrupt-map") != nullptr ||
                        std::any_of(node.children.begin(), node.children.end(), HasAddress);
    if (!overlays_ && !node.children.empty() && !counts) DropCells(node, path);
  }

 private:
  void CorrectNames(PlannedNode& node, const std::string& path) {
    std::map<std::string, int> bases;
    for (const PlannedNode& child : node.children) ++bases[BaseOf(child)];
    std::map<std::string, int> addresses;
    std::set<std::string> names;
    for (PlannedNode& child : node.children) {
      const std::string before = child.name;
      if (!HasAddress(child)) {
        if (const std::size_t at = child.name.find('@'); at != std::string::npos) {
          child.name = bases[BaseOf(child)] == 1 ? BaseOf(child) : child.name.replace(at, 1, "-");
        }
      } else if (!HasRightUnitAddress(node, child)) {
        child.name = BaseOf(child) + "@" + AddressOf(node, child);
      }
      const std::string address(UnitAddressOf(child));
      const int like_it = address.empty() ? 1 : ++addresses[address];
      const std::string name = child.name;
      if (like_it > 1) child.name.append(",").append(std::to_string(like_it));
      for (int number = like_it + 1; !names.insert(child.name).second; ++number) {
        child.name = name;
        child.name.append(address.empty() ? "-" : ",").append(std::to_string(number));
      }
      if (child.name == before) continue;
      std::string line = path;
      line.append("/").append(before).append(": name: it is ").append(child.name);
      left_out_.push_back(std::move(line));
    }
  }

  // Of an address of several cells, or with parts, only the bus knows how it is written.
  static bool HasRightUnitAddress(const PlannedNode& node, const PlannedNode& child) {
    constexpr std::uint32_t kI2cFlags = 0xc0000000;  // dt-bindings/i2c/i2c.h
    const std::string_view address = UnitAddressOf(child);
    if (address.empty()) return false;
    const std::vector<std::uint32_t> count = CellsOf(node, "#address-cells");
    const std::vector<std::uint32_t> reg = CellsOf(child, "reg");
    if (reg.empty() || (!count.empty() && count.front() != 1)) return true;
    if (address.find(',') != std::string_view::npos) return true;
    return address == Hex(reg.front()).substr(2) ||
           address == Hex(reg.front() & ~kI2cFlags).substr(2);
  }

  // The first address of a child's `reg`, or `ranges`, as it stands in a name.
  static std::string AddressOf(const PlannedNode& node, const PlannedNode& child) {
    const std::vector<std::uint32_t> cells =
        CellsOf(child, HasValue(child, "reg") ? "reg" : "ranges");
    const std::vector<std::uint32_t> count = CellsOf(node, "#address-cells");
    std::uint64_t address = 0;
    for (std::size_t at = 0; at < cells.size() && at < (count.empty() ? 1 : count.front()); ++at) {
      address = address << 32 | cells[at];
    }
    return Hex(address).substr(2);
  }

  void DropCells(PlannedNode& node, const std::string& path) {
    if (Find(node, "#address-cells") == nullptr || Find(node, "#size-cells") == nullptr) return;
    // Whose interrupts' addresses are counted by it, too.
    if (Find(node, "interrupt-controller") == nullptr) {
      Drop(node, path, "#address-cells", "no address is counted by it");
    }
    Drop(node, path, "#size-cells", "no size is counted by it");
  }

  void Drop(PlannedNode& node, const std::string& path, std::string_view name,
            const std::string& why) {
    const auto dropped = std::erase_if(
        node.properties, [&](const PlannedProperty& property) { return property.name == name; });
    if (dropped != 0) left_out_.push_back(path + ": " + std::string(name) + ": " + why);
  }

  std::vector<std::string>& left_out_;
  bool overlays_;
};

}  // namespace

void CorrectUnitAddresses(PlannedDevice& device, const std::string& host_path, bool overlays) {
  Corrector corrector(device.left_out, overlays);
  corrector.Correct(device.node, host_path);
  for (PlannedNode& companion : device.companions) {
    corrector.Correct(companion, "/" + companion.name);
  }
}

}  // namespace microvm
