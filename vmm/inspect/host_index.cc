// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/host_index.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <tuple>
#include <utility>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// What tells things of one target apart: the arguments, without the trigger of an interrupt (the
// last of at least two cells in the common bindings, the third of a GIC's).
std::span<const std::uint32_t> ArgumentsOfThing(const Reference& reference) {
  const std::span<const std::uint32_t> arguments = reference.arguments;
  if (reference.supplier != SupplierClass::kInterrupt || arguments.size() < 2) return arguments;
  return arguments.first(arguments.size() > 2 ? 2 : 1);
}

bool IsThingBefore(const Reference& a, const Reference& b) {
  const std::size_t target = a.target.index();
  const std::size_t other = b.target.index();
  if (target != other) return target < other;
  if (a.supplier != b.supplier) return a.supplier < b.supplier;
  const auto arguments = ArgumentsOfThing(a);
  const auto others = ArgumentsOfThing(b);
  return std::lexicographical_compare(arguments.begin(), arguments.end(), others.begin(),
                                      others.end());
}

// Whether `other` is `node` or below it.
bool IsWithin(const DtNode& node, std::size_t other) {
  return other >= node.index() && other < node.subtree_end();
}

// Set once at boot for a whole board, in whatever node it was put: nothing is used.
bool IsAssignment(const Reference& reference) {
  return reference.property.starts_with("assigned-");
}

}  // namespace

HostIndex::HostIndex(std::shared_ptr<const DeviceTree> tree) : tree_(std::move(tree)) {
  for (const DtNode& node : tree_->AllNodes()) {
    const auto above = node.parent();
    enabled_.push_back(node.IsEnabled() && (!above || IsEnabled(*above)));
    if (!IsEnabled(node)) continue;
    NodeFacts facts = Read(node);
    for (const NodeRegion& region : facts.regions) {
      if (region.cpu_address) pages_.Add(node.index(), *region.cpu_address, region.size_bytes);
    }
    for (Reference& reference : facts.references) {
      if (!IsAssignment(reference)) uses_.push_back({node.index(), std::move(reference)});
    }
  }
  pages_.Finish();
  SortUses();
}

void HostIndex::SortUses() {
  by_thing_.resize(uses_.size());
  std::iota(by_thing_.begin(), by_thing_.end(), std::size_t{0});
  by_target_ = by_thing_;
  std::stable_sort(by_thing_.begin(), by_thing_.end(), [this](std::size_t a, std::size_t b) {
    return IsThingBefore(uses_[a].reference, uses_[b].reference);
  });
  const auto repeated =
      std::unique(by_thing_.begin(), by_thing_.end(), [this](std::size_t a, std::size_t b) {
        return uses_[a].user == uses_[b].user &&
               !IsThingBefore(uses_[a].reference, uses_[b].reference);
      });
  by_thing_.erase(repeated, by_thing_.end());
  std::sort(by_target_.begin(), by_target_.end(), [this](std::size_t a, std::size_t b) {
    const auto key = [](const Use& use) {
      return std::tuple(use.reference.target.index(), use.user, use.reference.property);
    };
    return key(uses_[a]) < key(uses_[b]);
  });
}

NodeFacts HostIndex::Read(const DtNode& node) const {
  NodeFacts facts{node, IsEnabled(node), {}, {}, {}};
  try {
    facts.regions = ReadRegions(node);
    facts.references = References(*tree_, node);
  } catch (const Error& error) {
    facts.malformed = error.what();
  }
  return facts;
}

std::vector<std::string> HostIndex::SharersOfPages(const DtNode& node,
                                                   const NodeRegion& region) const {
  std::vector<std::string> paths;
  if (!region.cpu_address) return paths;
  // The node's own regions, and those of nodes below it, may be among the answers.
  const std::size_t limit = kMostUsers + 64;
  for (const std::size_t owner : pages_.Touching(*region.cpu_address, region.size_bytes, limit)) {
    if (IsWithin(node, owner) || paths.size() == kMostUsers) continue;
    std::string path = DtNode(*tree_, owner).path();
    if (std::find(paths.begin(), paths.end(), path) == paths.end())
      paths.push_back(std::move(path));
  }
  return paths;
}

std::vector<std::string> HostIndex::SharersOf(const DtNode& node,
                                              const Reference& reference) const {
  std::vector<std::string> paths;
  auto at = std::lower_bound(by_thing_.begin(), by_thing_.end(), reference,
                             [this](std::size_t use, const Reference& wanted) {
                               return IsThingBefore(uses_[use].reference, wanted);
                             });
  for (; at != by_thing_.end() && paths.size() < kMostUsers; ++at) {
    const Use& use = uses_[*at];
    if (IsThingBefore(reference, use.reference)) break;
    if (!IsWithin(node, use.user)) paths.push_back(DtNode(*tree_, use.user).path());
  }
  return paths;
}

std::vector<HostUser> HostIndex::UsersOf(const DtNode& node) const {
  std::vector<HostUser> users;
  auto at = std::lower_bound(by_target_.begin(), by_target_.end(), node.index(),
                             [this](std::size_t use, std::size_t wanted) {
                               return uses_[use].reference.target.index() < wanted;
                             });
  for (; at != by_target_.end() && users.size() < kMostUsers; ++at) {
    const Use& use = uses_[*at];
    if (!IsWithin(node, use.reference.target.index())) break;
    if (IsWithin(node, use.user)) continue;
    HostUser entry{DtNode(*tree_, use.user).path(), std::string(use.reference.property)};
    const bool known = std::any_of(users.begin(), users.end(),
                                   [&](const HostUser& other) { return other.path == entry.path; });
    if (!known) users.push_back(std::move(entry));
  }
  return users;
}

}  // namespace microvm
