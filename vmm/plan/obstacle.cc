// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/obstacle.h"

#include <algorithm>
#include <optional>

namespace microvm {
namespace {

void AppendOnce(std::vector<std::string>& list, const std::string& text) {
  if (text.empty() || std::find(list.begin(), list.end(), text) != list.end()) return;
  list.push_back(text);
}

std::string Lines(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& line : list) text += (text.empty() ? "" : "\n") + line;
  return text;
}

// What a reference is about, or what it is a part of, in memory: with it the guest would have the
// target too. Nothing: it is the host's.
std::optional<DtNode> PassableWith(const Reference& reference) {
  switch (reference.supplier) {
    case SupplierClass::kGpio:
    case SupplierClass::kDmaChannel:
    case SupplierClass::kMailbox:
    case SupplierClass::kPhy:
    case SupplierClass::kEthernetPhy:
      break;
    default:
      return std::nullopt;
  }
  for (std::optional<DtNode> at = reference.target; at && at->parent(); at = at->parent()) {
    // Addresses without sizes are numbers on a bus of the device's own, such as MDIO.
    const bool is_in_memory = CellsBelow(*at->parent(), "#size-cells") != 0;
    if (is_in_memory && at->Property("reg") && !at->Strings("compatible").empty()) return at;
  }
  return std::nullopt;
}

}  // namespace

std::string NameToDrop(const DeviceFacts& facts, const DtNode& node, std::string_view property) {
  const std::string path = node.path();
  const std::string prefix = facts.node_path + "/";
  if (!path.starts_with(prefix)) return std::string(property);
  return path.substr(prefix.size()) + "/" + std::string(property);
}

void Refuse(const DeviceFacts& facts, const DtNode& node, std::string_view property,
            const std::string& why, const std::string& instead) {
  throw ObstacleError({node.path() + ": the property '" + std::string(property) + "' " + why,
                       instead, NameToDrop(facts, node, property)});
}

void RefuseReference(const DeviceFacts& facts, const DtNode& node, const Reference& reference) {
  const std::string target = reference.target.path();
  const auto with = PassableWith(reference);
  Refuse(facts, node, reference.property,
         "refers to something the guest does not have: " +
             std::string(ToString(reference.supplier)) + " " + target,
         with ? "pass " + with->path() + " through too" : "");
}

std::string DropLine(const std::vector<std::string>& drops) {
  std::string entries;
  for (const std::string& drop : drops) {
    entries += (entries.empty() ? "\"" : ", \"") + drop + "\"";
  }
  return "drop = [" + entries + "]";
}

std::vector<std::string> DropsOf(const std::vector<Obstacle>& obstacles) {
  std::vector<std::string> drops;
  for (const Obstacle& obstacle : obstacles) AppendOnce(drops, obstacle.drop);
  return drops;
}

void ThrowIfAny(const std::vector<Obstacle>& obstacles, const std::string& host) {
  if (obstacles.empty()) return;
  std::vector<std::string> whats;
  std::vector<std::string> insteads;
  for (const Obstacle& obstacle : obstacles) {
    AppendOnce(whats, obstacle.what);
    AppendOnce(insteads, obstacle.instead);
  }
  const std::vector<std::string> drops = DropsOf(obstacles);
  std::string remedy = Lines(insteads);
  if (!drops.empty()) {
    const bool is_one = obstacles.size() == 1;
    if (!remedy.empty()) remedy += is_one ? "; or, " : "\nor, ";
    remedy += std::string("if the guest's driver can do without ") + (is_one ? "it" : "them") +
              ", add to the [[platform]] table of '" + host + "':\n" + DropLine(drops);
  }
  throw Error(Lines(whats), remedy);
}

}  // namespace microvm
