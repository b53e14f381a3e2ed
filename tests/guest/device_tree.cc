// SPDX-License-Identifier: Apache-2.0
#include "device_tree.h"

#include <libfdt.h>

namespace guest {
namespace {

constexpr std::uint32_t kSharedInterrupt = 0;
constexpr std::uint32_t kPrivateInterrupt = 1;
constexpr std::uint32_t kFirstPrivate = 16;
constexpr std::uint32_t kEdgeFlags = 3;  // IRQ_TYPE_EDGE_RISING | IRQ_TYPE_EDGE_FALLING

std::optional<int> Found(int offset) {
  if (offset < 0) return std::nullopt;
  return offset;
}

}  // namespace

std::uint32_t Cells::operator[](std::size_t index) const {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | bytes_[index * 4 + i];
  return value;
}

std::uint64_t Cells::Number(std::size_t index, unsigned width) const {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < width; ++i) value = value << 32 | (*this)[index + i];
  return value;
}

bool DeviceTree::valid() const { return fdt_check_header(blob_) == 0; }

std::optional<DeviceTree::Node> DeviceTree::FindCompatible(const char* compatible,
                                                           Node after) const {
  return Found(fdt_node_offset_by_compatible(blob_, after, compatible));
}

std::optional<DeviceTree::Node> DeviceTree::FindDeviceType(const char* type, Node after) const {
  const int length = static_cast<int>(std::string_view(type).size()) + 1;
  return Found(fdt_node_offset_by_prop_value(blob_, after, "device_type", type, length));
}

std::optional<DeviceTree::Node> DeviceTree::FindPath(std::string_view path) const {
  if (path.empty()) return std::nullopt;
  return Found(fdt_path_offset_namelen(blob_, path.data(), static_cast<int>(path.size())));
}

bool DeviceTree::IsCompatible(Node node, const char* compatible) const {
  return fdt_node_check_compatible(blob_, node, compatible) == 0;
}

std::string_view DeviceTree::Name(Node node) const {
  const char* name = fdt_get_name(blob_, node, nullptr);
  return name == nullptr ? "?" : name;
}

std::string_view DeviceTree::String(Node node, const char* property) const {
  int length = 0;
  const void* value = fdt_getprop(blob_, node, property, &length);
  if (value == nullptr || length < 1) return {};
  const std::string_view all(static_cast<const char*>(value), static_cast<std::size_t>(length));
  return all.substr(0, all.find('\0'));
}

Cells DeviceTree::Property(Node node, const char* property) const {
  int length = 0;
  const void* value = fdt_getprop(blob_, node, property, &length);
  if (value == nullptr) return {};
  return Cells({static_cast<const std::uint8_t*>(value), static_cast<std::size_t>(length)});
}

DeviceTree::Node DeviceTree::Parent(Node node) const { return fdt_parent_offset(blob_, node); }

std::optional<PhysicalRange> DeviceTree::Region(Node node, unsigned index) const {
  Node bus = Parent(node);
  if (bus < 0) return std::nullopt;
  const auto address_cells = static_cast<unsigned>(fdt_address_cells(blob_, bus));
  const auto size_cells = static_cast<unsigned>(fdt_size_cells(blob_, bus));
  const std::size_t width = address_cells + size_cells;
  const Cells reg = Property(node, "reg");
  if (width == 0 || reg.count() < (index + 1) * width) return std::nullopt;
  std::optional<std::uint64_t> start = reg.Number(index * width, address_cells);
  const std::uint64_t size = reg.Number(index * width + address_cells, size_cells);
  for (; Parent(bus) >= 0; bus = Parent(bus)) {
    start = ToParentBus(bus, *start);
    if (!start) return std::nullopt;
  }
  return PhysicalRange{.start = *start, .size = size};
}

std::optional<std::uint64_t> DeviceTree::ToParentBus(Node bus, std::uint64_t address) const {
  int length = 0;
  if (fdt_getprop(blob_, bus, "ranges", &length) == nullptr) return std::nullopt;
  if (length == 0) return address;
  const Cells ranges = Property(bus, "ranges");
  const auto child_cells = static_cast<unsigned>(fdt_address_cells(blob_, bus));
  const auto parent_cells = static_cast<unsigned>(fdt_address_cells(blob_, Parent(bus)));
  const auto size_cells = static_cast<unsigned>(fdt_size_cells(blob_, bus));
  const unsigned width = child_cells + parent_cells + size_cells;
  for (std::size_t i = 0; i + width <= ranges.count(); i += width) {
    const std::uint64_t child = ranges.Number(i, child_cells);
    const std::uint64_t size = ranges.Number(i + child_cells + parent_cells, size_cells);
    if (address < child || address - child >= size) continue;
    return ranges.Number(i + child_cells, parent_cells) + (address - child);
  }
  return std::nullopt;
}

std::optional<DeviceTree::Node> DeviceTree::InterruptParent(Node node) const {
  for (; node >= 0; node = Parent(node)) {
    const Cells phandle = Property(node, "interrupt-parent");
    if (phandle.count() == 1) return Found(fdt_node_offset_by_phandle(blob_, phandle[0]));
  }
  return std::nullopt;
}

std::optional<Interrupt> DeviceTree::InterruptOf(Node node, unsigned index) const {
  const std::optional<Node> controller = InterruptParent(node);
  if (!controller) return std::nullopt;
  if (!IsCompatible(*controller, "arm,gic-v3") && !IsCompatible(*controller, "arm,gic-400") &&
      !IsCompatible(*controller, "arm,cortex-a15-gic")) {
    return std::nullopt;
  }
  const Cells width = Property(*controller, "#interrupt-cells");
  const Cells interrupts = Property(node, "interrupts");
  if (width.count() != 1 || width[0] < 3 ||
      interrupts.count() < (std::size_t{index} + 1) * width[0]) {
    return std::nullopt;
  }
  const std::size_t at = std::size_t{index} * width[0];
  const std::uint32_t type = interrupts[at];
  if (type != kSharedInterrupt && type != kPrivateInterrupt) return std::nullopt;
  const std::uint32_t first = type == kSharedInterrupt ? kFirstShared : kFirstPrivate;
  const bool edge = (interrupts[at + 2] & kEdgeFlags) != 0;
  return Interrupt{.intid = first + interrupts[at + 1],
                   .trigger = edge ? Trigger::kEdge : Trigger::kLevel};
}

}  // namespace guest
