// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/guest_source.h"

#include <algorithm>
#include <map>
#include <vector>

#include "arch/arm64/guest_tree.h"
#include "vmm/fdt/device_tree.h"
#include "vmm/plan/format_value.h"

namespace microvm {
namespace {

// By "PATH: PROPERTY".
using Origins = std::map<std::string, std::string>;

std::string Key(const std::string& path, std::string_view property) {
  return path + ": " + std::string(property);
}

void AddOrigins(const PlannedNode& node, const std::string& above, Origins& origins) {
  const std::string path = above + "/" + node.name;
  for (const PlannedProperty& property : node.properties) {
    origins[Key(path, property.name)] = property.origin;
  }
  for (const PlannedNode& child : node.children) AddOrigins(child, path, origins);
}

// What the rules for devices made; all else is the machine's own.
Origins OriginsOf(const VmPlan& plan) {
  Origins origins;
  for (const PlannedDevice& device : plan.devices) {
    AddOrigins(device.node, "", origins);
    for (const PlannedNode& companion : device.companions) AddOrigins(companion, "", origins);
  }
  return origins;
}

bool HasProperty(const DeviceTree& tree, const std::string& path, const DtProperty& property) {
  const auto node = tree.Find(path);
  const auto found = node ? node->Property(property.name) : std::nullopt;
  return found && std::equal(found->value.begin(), found->value.end(), property.value.begin(),
                             property.value.end());
}

// A name may hold what would end the comment.
std::string Comment(std::string text) {
  for (std::size_t at = text.find("*/"); at != std::string::npos; at = text.find("*/")) {
    text.replace(at, 2, "* ");
  }
  return "  /* " + text + " */\n";
}

class SourceWriter {
 public:
  explicit SourceWriter(const VmPlan& plan) : plan_(plan), origins_(OriginsOf(plan)) {
    for (std::size_t merged = 0; merged <= plan.overlays.size(); ++merged) {
      stages_.emplace_back(BuildGuestTree(plan, {}, merged));
    }
  }

  std::string Write() {
    text_ = "/dts-v1/;\n\n";
    WriteNode(stages_.back().root(), "");
    for (const PlannedDevice& device : plan_.devices) {
      for (const std::string& line : device.left_out) text_ += "// left out " + line + "\n";
    }
    return std::move(text_);
  }

 private:
  [[nodiscard]] std::string OriginOf(const std::string& path, const DtProperty& property) const {
    const auto first = std::find_if(stages_.begin(), stages_.end(), [&](const DeviceTree& tree) {
      return HasProperty(tree, path, property);
    });
    if (first != stages_.begin()) {
      return "overlay " +
             plan_.overlays.at(static_cast<std::size_t>(first - stages_.begin()) - 1).path;
    }
    const auto origin = origins_.find(Key(path, property.name));
    return origin == origins_.end() ? "the machine's own" : origin->second;
  }

  void WriteNode(const DtNode& node, const std::string& indent) {
    const std::string path = node.path();
    text_ += indent + (node.name().empty() ? "/" : std::string(node.name())) + " {\n";
    for (const DtProperty& property : node.properties()) {
      text_ += indent + "\t" + std::string(property.name) + FormatValue(property.value) + ";" +
               Comment(OriginOf(path, property));
    }
    for (const DtNode& child : node.children()) WriteNode(child, indent + "\t");
    text_ += indent + "};\n";
  }

  const VmPlan& plan_;
  Origins origins_;
  std::vector<DeviceTree> stages_;  // the tree after each overlay
  std::string text_;
};

}  // namespace

std::string GuestTreeSource(const VmPlan& plan) { return SourceWriter(plan).Write(); }

}  // namespace microvm
