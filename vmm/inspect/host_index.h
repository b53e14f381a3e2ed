// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "vmm/fdt/device_tree.h"
#include "vmm/fdt/references.h"
#include "vmm/inspect/page_map.h"
#include "vmm/inspect/regions.h"

namespace microvm {

// What one node says of itself, read once.
struct IndexedNode {
  DtNode node;
  bool enabled = false;  // it, and every node above it
  std::vector<NodeRegion> regions;
  std::vector<Reference> references;
  std::string malformed;  // what is wrong with either; "" if nothing is
};

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
  [[nodiscard]] const IndexedNode& At(const DtNode& node) const;
  [[nodiscard]] const std::vector<IndexedNode>& nodes() const { return nodes_; }

  // Other nodes that live in a 4 KiB page which the region touches; at most kMostUsers.
  [[nodiscard]] std::vector<std::string> SharersOfPages(const DtNode& node,
                                                        const NodeRegion& region) const;
  // Other nodes that refer to the same thing: one output of a clock, one reset line, one interrupt
  // whatever its trigger; at most kMostUsers.
  [[nodiscard]] std::vector<std::string> SharersOf(const DtNode& node,
                                                   const Reference& reference) const;
  // Other nodes that refer to this node or to one below it; at most kMostUsers.
  [[nodiscard]] std::vector<HostUser> UsersOf(const DtNode& node) const;

  static constexpr std::size_t kMostUsers = 8;

 private:
  [[nodiscard]] std::size_t PositionOf(int offset) const;
  // Whether `other` is `node` or below it.
  [[nodiscard]] bool IsWithin(const DtNode& node, int other) const;

  std::shared_ptr<const DeviceTree> tree_;
  std::vector<IndexedNode> nodes_;        // in the order of the blob
  std::vector<std::size_t> subtree_end_;  // position after the last node below each
  PageMap pages_;
  std::unordered_map<std::string, std::vector<int>> users_of_thing_;  // positions
  std::vector<std::pair<int, std::pair<int, std::string>>> targets_;  // target, (user, property)
};

}  // namespace microvm
