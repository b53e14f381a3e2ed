// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/host_index.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// A node may have several regions among the answers.
constexpr std::size_t kMostOwners = 8 * HostIndex::kMostUsers;

bool IsThingBefore(const Reference& a, const Reference& b) {
  const std::size_t target = a.target.index();
  const std::size_t other = b.target.index();
  return std::tie(target, a.supplier, a.arguments) < std::tie(other, b.supplier, b.arguments);
}

bool HasLine(const Reference& reference) {
  return reference.property == "interrupts" || reference.property == "interrupts-extended" ||
         reference.property == "interrupt-map";
}

// The line that a node has by a reference. Nothing: the host cannot find it either, or it is only
// on its way through a nexus.
std::optional<LineIdentity> LineOf(const DeviceTree& tree, const DtNode& node,
                                   const Reference& reference) {
  try {
    if (reference.property != "interrupt-map") {
      return IdentityOf(ReadInterruptLine(tree, node, reference.target, reference.arguments));
    }
    if (node.Strings("device_type") == std::vector<std::string>{"pci"}) {
      return IdentityOf(ReadMappedLine(tree, node, reference));
    }
  } catch (const Error&) {
    return std::nullopt;
  }
  return std::nullopt;
}

// Whether `other` is `node` or below it.
bool IsWithin(const DtNode& node, std::size_t other) {
  return other >= node.index() && other < node.subtree_end();
}

// RAM, and what the tree reserves of it.
bool IsMemory(const DtNode& node) {
  const auto above = node.parent();
  return node.Strings("device_type") == std::vector<std::string>{"memory"} ||
         (above && above->path() == "/reserved-memory");
}

// Set once at boot for a whole board, in whatever node it was put: nothing is used.
bool IsAssignment(const Reference& reference) {
  return reference.property.starts_with("assigned-");
}

}  // namespace

bool IsDriven(const DtNode& node) {
  constexpr std::array<std::string_view, 4> kOthers = {"syscon", "simple-mfd", "simple-bus",
                                                       "simple-pm-bus"};
  const std::vector<std::string> list = node.Strings("compatible");
  // A syscon that gives clocks or resets has a driver for that, too.
  for (const char* provider : {"#clock-cells", "#reset-cells", "#power-domain-cells"}) {
    if (!list.empty() && node.Property(provider)) return true;
  }
  return !list.empty() &&
         std::find_first_of(list.begin(), list.end(), kOthers.begin(), kOthers.end()) == list.end();
}

std::optional<DtNode> MakerOf(const DtNode& node) {
  constexpr std::array<std::string_view, 4> kBuses = {"simple-bus", "simple-mfd", "isa",
                                                      "arm,amba-bus"};
  for (std::optional<DtNode> at = node.parent(); at && at->parent(); at = at->parent()) {
    const bool is_bus = std::any_of(kBuses.begin(), kBuses.end(),
                                    [&](std::string_view bus) { return at->IsCompatible(bus); });
    if (!is_bus) return at;
  }
  return std::nullopt;
}

HostIndex::HostIndex(std::shared_ptr<const DeviceTree> tree) : tree_(std::move(tree)) {
  for (const DtNode& node : tree_->AllNodes()) {
    const auto above = node.parent();
    enabled_.push_back(node.IsEnabled() && (!above || IsEnabled(*above)));
    if (!IsEnabled(node)) continue;
    NodeFacts facts = Read(node);
    for (const NodeRegion& region : facts.regions) {
      if (region.cpu_address) pages_.Add(node.index(), *region.cpu_address, region.size_bytes);
    }
    AddUses(node, std::move(facts.references));
  }
  pages_.Finish();
  SortUses();
}

void HostIndex::AddUses(const DtNode& node, std::vector<Reference> references) {
  for (Reference& reference : references) {
    if (IsAssignment(reference)) continue;
    if (HasLine(reference)) {
      auto line = LineOf(*tree_, node, reference);
      if (line) lines_.push_back({std::move(*line), node.index()});
    } else {
      by_thing_.push_back(uses_.size());
    }
    by_target_.push_back(uses_.size());
    uses_.push_back({node.index(), std::move(reference)});
  }
}

void HostIndex::SortUses() {
  std::sort(lines_.begin(), lines_.end());
  lines_.erase(std::unique(lines_.begin(), lines_.end()), lines_.end());
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

std::vector<std::string> HostIndex::PathsOf(const std::vector<std::size_t>& nodes) const {
  std::vector<std::string> paths;
  for (const std::size_t other : nodes) {
    if (paths.size() == kMostUsers) break;
    std::string path = DtNode(*tree_, other).path();
    if (std::find(paths.begin(), paths.end(), path) == paths.end())
      paths.push_back(std::move(path));
  }
  return paths;
}

std::vector<std::string> HostIndex::SharersOfPages(const DtNode& node,
                                                   const NodeRegion& region) const {
  if (!region.cpu_address) return {};
  return PathsOf(
      pages_.Touching(*region.cpu_address, region.size_bytes, kMostOwners, [&](std::size_t other) {
        return !IsWithin(node, other) && !IsWithin(DtNode(*tree_, other), node.index());
      }));
}

std::vector<std::string> HostIndex::OwnersOf(const DtNode& node, const NodeRegion& region) const {
  if (!region.cpu_address) return {};
  return PathsOf(
      pages_.Having(*region.cpu_address, region.size_bytes, kMostOwners, [&](std::size_t index) {
        const DtNode other(*tree_, index);
        return !IsWithin(node, index) && !IsWithin(other, node.index()) &&
               (IsDriven(other) || IsMemory(other));
      }));
}

std::vector<std::string> HostIndex::SharersOf(const DtNode& node,
                                              const Reference& reference) const {
  std::vector<std::string> paths;
  if (HasLine(reference)) {
    const auto line = LineOf(*tree_, node, reference);
    return line ? SharersOfLine(node, *line) : paths;
  }
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

std::vector<std::string> HostIndex::SharersOfLine(const DtNode& node,
                                                  const LineIdentity& line) const {
  std::vector<std::string> paths;
  auto at = std::lower_bound(lines_.begin(), lines_.end(), LineUse{line, 0});
  for (; at != lines_.end() && at->line == line && paths.size() < kMostUsers; ++at) {
    if (!IsWithin(node, at->user)) paths.push_back(DtNode(*tree_, at->user).path());
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
