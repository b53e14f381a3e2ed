// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/host_index.h"

#include <algorithm>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// What a reference means, as a key: its kind, its target and its arguments, without the trigger of
// an interrupt (the last of at least two cells in the common bindings, the third of a GIC's).
std::string KeyOf(const Reference& reference) {
  std::vector<std::uint32_t> arguments = reference.arguments;
  if (reference.supplier == SupplierClass::kInterrupt && arguments.size() > 1) {
    arguments.resize(arguments.size() > 2 ? 2 : 1);
  }
  std::string key = std::to_string(static_cast<int>(reference.supplier)) + ' ' +
                    std::to_string(reference.target.offset());
  for (const std::uint32_t argument : arguments) key += ' ' + std::to_string(argument);
  return key;
}

// Set once at boot for a whole board, in whatever node it was put: nothing is used.
bool IsAssignment(const Reference& reference) {
  return reference.property.starts_with("assigned-");
}

void ReadNode(const DeviceTree& tree, IndexedNode& entry) {
  try {
    entry.regions = ReadRegions(entry.node);
    entry.references = References(tree, entry.node);
  } catch (const Error& error) {
    entry.malformed = error.what();
  }
}

}  // namespace

HostIndex::HostIndex(std::shared_ptr<const DeviceTree> tree) : tree_(std::move(tree)) {
  std::vector<std::size_t> open;
  for (const DtNode& node : tree_->AllNodes()) {
    const std::size_t position = nodes_.size();
    const auto parent = node.parent();
    while (!open.empty() && (!parent || !(nodes_[open.back()].node == *parent))) {
      subtree_end_[open.back()] = position;
      open.pop_back();
    }
    IndexedNode entry{
        node, node.IsEnabled() && (open.empty() || nodes_[open.back()].enabled), {}, {}, {}};
    ReadNode(*tree_, entry);
    nodes_.push_back(std::move(entry));
    subtree_end_.push_back(position + 1);
    open.push_back(position);
  }
  for (const std::size_t position : open) subtree_end_[position] = nodes_.size();

  for (std::size_t position = 0; position < nodes_.size(); ++position) {
    const IndexedNode& entry = nodes_[position];
    if (!entry.enabled) continue;
    const int user = static_cast<int>(position);
    for (const NodeRegion& region : entry.regions) {
      if (region.cpu_address) pages_.Add(user, *region.cpu_address, region.size_bytes);
    }
    for (const Reference& reference : entry.references) {
      if (IsAssignment(reference)) continue;
      std::vector<int>& users = users_of_thing_[KeyOf(reference)];
      if (users.empty() || users.back() != user) users.push_back(user);
      targets_.push_back({reference.target.offset(), {user, reference.property}});
    }
  }
  pages_.Finish();
  std::sort(targets_.begin(), targets_.end());
}

std::size_t HostIndex::PositionOf(int offset) const {
  const auto found =
      std::lower_bound(nodes_.begin(), nodes_.end(), offset,
                       [](const IndexedNode& entry, int at) { return entry.node.offset() < at; });
  return static_cast<std::size_t>(found - nodes_.begin());
}

const IndexedNode& HostIndex::At(const DtNode& node) const {
  return nodes_.at(PositionOf(node.offset()));
}

bool HostIndex::IsWithin(const DtNode& node, int other) const {
  const std::size_t position = PositionOf(node.offset());
  const auto candidate = static_cast<std::size_t>(other);
  return candidate >= position && candidate < subtree_end_.at(position);
}

std::vector<std::string> HostIndex::SharersOfPages(const DtNode& node,
                                                   const NodeRegion& region) const {
  std::vector<std::string> paths;
  if (!region.cpu_address) return paths;
  // The node's own regions, and those of nodes below it, may be among the answers.
  const std::size_t limit = kMostUsers + 64;
  for (const int owner : pages_.Touching(*region.cpu_address, region.size_bytes, limit)) {
    if (IsWithin(node, owner) || paths.size() == kMostUsers) continue;
    std::string path = nodes_[static_cast<std::size_t>(owner)].node.path();
    if (std::find(paths.begin(), paths.end(), path) == paths.end())
      paths.push_back(std::move(path));
  }
  return paths;
}

std::vector<std::string> HostIndex::SharersOf(const DtNode& node,
                                              const Reference& reference) const {
  std::vector<std::string> paths;
  const auto users = users_of_thing_.find(KeyOf(reference));
  if (users == users_of_thing_.end()) return paths;
  for (const int user : users->second) {
    if (IsWithin(node, user)) continue;
    if (paths.size() == kMostUsers) break;
    paths.push_back(nodes_[static_cast<std::size_t>(user)].node.path());
  }
  return paths;
}

std::vector<HostUser> HostIndex::UsersOf(const DtNode& node) const {
  std::vector<HostUser> users;
  const std::size_t position = PositionOf(node.offset());
  const std::size_t end = subtree_end_.at(position);
  const int last = end == nodes_.size() ? INT32_MAX : nodes_[end].node.offset();
  auto at = std::lower_bound(targets_.begin(), targets_.end(),
                             std::pair(node.offset(), std::pair(-1, std::string())));
  for (; at != targets_.end() && at->first < last && users.size() < kMostUsers; ++at) {
    const auto& [user, property] = at->second;
    if (IsWithin(node, user)) continue;
    HostUser entry{nodes_[static_cast<std::size_t>(user)].node.path(), property};
    const bool known = std::any_of(users.begin(), users.end(),
                                   [&](const HostUser& other) { return other.path == entry.path; });
    if (!known) users.push_back(std::move(entry));
  }
  return users;
}

}  // namespace microvm
