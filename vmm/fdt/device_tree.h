// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace microvm {

class DeviceTree;

// A property of a node: its name and its raw big-endian value, inside the tree's blob.
struct DtProperty {
  std::string_view name;
  std::span<const std::byte> value;

  // The value as 32-bit cells; nothing if its length is no multiple of four.
  [[nodiscard]] std::optional<std::vector<std::uint32_t>> Cells() const;
  // The value as a list of NUL-terminated strings; empty if it is not one.
  [[nodiscard]] std::vector<std::string> Strings() const;
};

// A node of a DeviceTree, which outlives it. Cheap to copy.
class DtNode {
 public:
  DtNode(const DeviceTree& tree, std::size_t index) : tree_(&tree), index_(index) {}

  [[nodiscard]] std::string_view name() const;  // with its unit address; "" for the root
  [[nodiscard]] std::string path() const;
  [[nodiscard]] std::optional<DtNode> parent() const;
  [[nodiscard]] std::vector<DtNode> children() const;
  [[nodiscard]] std::span<const DtProperty> properties() const;
  [[nodiscard]] std::optional<DtProperty> Property(std::string_view name) const;
  // The first cell of a property; nothing if it is absent or shorter than one cell.
  [[nodiscard]] std::optional<std::uint32_t> Cell(std::string_view name) const;
  // A property's list of strings; empty if it is absent.
  [[nodiscard]] std::vector<std::string> Strings(std::string_view name) const;
  [[nodiscard]] bool IsCompatible(std::string_view compatible) const;
  // Whether the node describes hardware that is there (Devicetree Specification 2.3.4).
  [[nodiscard]] bool IsEnabled() const;
  // The node's place among all of the tree, a node before those below it: its identity.
  [[nodiscard]] std::size_t index() const { return index_; }
  // The place of the first node behind it that is not below it, or the number of nodes.
  [[nodiscard]] std::size_t subtree_end() const;
  bool operator==(const DtNode& other) const { return index_ == other.index_; }

 private:
  const DeviceTree* tree_;
  std::size_t index_;
};

// Of a list of references: more are an Error, as what is made of each may take a look at all. No
// board's tree has a third of it.
inline constexpr std::size_t kMostReferences = 1024;

// A phandle with arguments, such as an entry of `clocks`.
struct DtReference {
  DtNode target;
  std::vector<std::uint32_t> arguments;
};

// A read-only flattened device tree. It is walked over once, when it is made: in the blob, a node's
// property or neighbour is found only by walking over all that is between. Malformed input is an
// Error, never a crash. Nodes are no deeper than 64, as in Linux (drivers/of/fdt.c: FDT_MAX_DEPTH).
class DeviceTree {
 public:
  // Takes a .dtb; throws Error if libfdt finds it malformed, or it is nested deeper than Linux
  // takes.
  explicit DeviceTree(std::vector<std::byte> blob);
  DeviceTree(const DeviceTree&) = delete;
  DeviceTree& operator=(const DeviceTree&) = delete;
  DeviceTree(DeviceTree&&) = default;
  DeviceTree& operator=(DeviceTree&&) = default;
  ~DeviceTree() = default;
  // Makes one from a directory such as /proc/device-tree.
  static DeviceTree FromDirectory(const std::filesystem::path& directory);

  [[nodiscard]] DtNode root() const { return {*this, 0}; }
  // By its whole path, where unit addresses may be left out.
  [[nodiscard]] std::optional<DtNode> Find(const std::string& path) const;
  [[nodiscard]] std::optional<DtNode> ByPhandle(std::uint32_t phandle) const;
  [[nodiscard]] std::uint32_t LargestPhandle() const;  // 0 if no node has one
  // Every node, the root first, a node before those below it.
  [[nodiscard]] std::vector<DtNode> AllNodes() const;
  [[nodiscard]] const void* blob() const { return blob_.data(); }
  [[nodiscard]] std::span<const std::byte> bytes() const { return blob_; }

 private:
  friend class DtNode;

  struct Entry {
    std::string_view name;
    std::size_t parent;          // index; of the root its own
    std::size_t subtree_end;     // index of the first node that is not below this one
    std::size_t first_property;  // those of the next node come behind the last
  };

  void ReadNodes();
  void ReadPhandles();
  // Calls `visit` with each node right below, until it returns true.
  template <typename Visit>
  void VisitChildren(std::size_t index, Visit&& visit) const;

  std::vector<std::byte> blob_;
  // Names and values are inside the blob.
  std::vector<Entry> nodes_;
  std::vector<DtProperty> properties_;
  std::vector<std::pair<std::uint32_t, std::size_t>> phandles_;  // with the node's index, sorted
};

// The entries of a phandle-with-arguments property, whose targets say their number of arguments
// in `cells_name` ("#clock-cells"). An entry of <0> is kept as nothing. Throws Error naming the
// node and property when a phandle has no node or an entry is cut short.
std::vector<std::optional<DtReference>> ReadReferences(const DeviceTree& tree, const DtNode& node,
                                                       std::string_view property,
                                                       std::string_view cells_name);

// The node that interprets `node`'s `interrupts`: by `interrupt-parent`, else the node above, until
// one has `#interrupt-cells` (drivers/of/irq.c of Linux: of_irq_find_parent). Nothing if none has.
std::optional<DtNode> InterruptParent(const DeviceTree& tree, const DtNode& node);

// The number of cells that the addresses (`name`: "#address-cells") or sizes below a node have: its
// own, else those of the nearest node above that says, else 1. The Devicetree Specification has it
// otherwise, but Linux reads trees so (drivers/of/base.c: of_bus_n_addr_cells).
std::uint32_t CellsBelow(const DtNode& node, std::string_view name);

}  // namespace microvm
