// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/fdt/device_tree.h"
#include "vmm/fdt/references.h"
#include "vmm/fdt/regions.h"
#include "vmm/inspect/page_map.h"
#include "vmm/plan/interrupt_line.h"

namespace microvm {

// What one node says of itself.
struct NodeFacts {
  DtNode node;
  bool enabled = false;  // it, and every node above it
  std::vector<NodeRegion> regions;
  std::vector<Reference> references;
  std::string malformed;  // what is wrong with either; "" if nothing is
};

// Whether a driver of its own has the node's registers, as opposed to those that come to them by a
// regmap, and to a bus, whose registers are those of the devices on it.
bool IsDriven(const DtNode& node);

// The node above whose driver alone can make a device of `node`: Linux itself makes them of the
// nodes below the root and below buses (drivers/of/platform.c: of_default_bus_match_table).
std::optional<DtNode> MakerOf(const DtNode& node);

// A node that uses something, and how ("clocks").
struct HostUser {
  std::string path;
  std::string property;
};

// A whole tree, indexed: who uses what. Made in one pass, then asked of node by node. Only enabled
// nodes count as users; a node's own subtree does not count against it.
class HostIndex {
 public:
  explicit HostIndex(std::shared_ptr<const DeviceTree> tree);

  [[nodiscard]] const DeviceTree& tree() const { return *tree_; }
  [[nodiscard]] const std::shared_ptr<const DeviceTree>& shared_tree() const { return tree_; }
  // Whether the node and every node above it are.
  [[nodiscard]] bool IsEnabled(const DtNode& node) const { return enabled_[node.index()]; }
  // What the node says of itself, read anew: the index only keeps who uses what.
  [[nodiscard]] NodeFacts Read(const DtNode& node) const;

  // Other nodes, but those above, that live in a 4 KiB page which the region touches; at most
  // kMostUsers.
  [[nodiscard]] std::vector<std::string> SharersOfPages(const DtNode& node,
                                                        const NodeRegion& region) const;
  // Other nodes that have some of the region's bytes, so that drivers of the host may use them; at
  // most kMostUsers. Not the nodes above it, nor registers that are for others to use (syscon,
  // simple-mfd, buses), nor nodes without compatible, which have no driver.
  [[nodiscard]] std::vector<std::string> OwnersOf(const DtNode& node,
                                                  const NodeRegion& region) const;
  // Other nodes that refer to the same thing: one output of a clock, one reset line; at most
  // kMostUsers. Of an interrupt those that have the same line (vmm/plan/interrupt_line.h), whatever
  // way it takes there; devices on a PCI bus, which no tree has, have all lines of its map.
  [[nodiscard]] std::vector<std::string> SharersOf(const DtNode& node,
                                                   const Reference& reference) const;
  // Other nodes that refer to this node or to one below it; at most kMostUsers.
  [[nodiscard]] std::vector<HostUser> UsersOf(const DtNode& node) const;

  static constexpr std::size_t kMostUsers = 8;

 private:
  // Nodes by their index in the tree.
  struct Use {
    std::size_t user;
    Reference reference;
  };

  // A node that has an interrupt line.
  struct LineUse {
    LineIdentity line;
    std::size_t user;
    auto operator<=>(const LineUse&) const = default;
  };

  [[nodiscard]] std::vector<std::string> PathsOf(const std::vector<std::size_t>& nodes) const;
  void AddUses(const DtNode& node, std::vector<Reference> references);
  void SortUses();
  [[nodiscard]] std::vector<std::string> SharersOfLine(const DtNode& node,
                                                       const LineIdentity& line) const;

  std::shared_ptr<const DeviceTree> tree_;
  std::vector<bool> enabled_;
  PageMap pages_;
  std::vector<Use> uses_;  // in the order of the users
  // Indices in uses_:
  std::vector<std::size_t> by_thing_;   // same things together, a user of it once; no lines
  std::vector<std::size_t> by_target_;  // by target, user, name of the property
  std::vector<LineUse> lines_;          // in order, each once
};

}  // namespace microvm
