// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/device_tree.h"

#include <libfdt.h>

#include <algorithm>

#include "vmm/fdt/fdt_writer.h"
#include "vmm/fdt/structure_check.h"
#include "vmm/host/error.h"
#include "vmm/host/file.h"

namespace microvm {
namespace {

constexpr std::size_t kMaximumDepth = 64;

void CopyDirectory(FdtWriter& fdt, const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  std::vector<fs::path> nodes;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const fs::file_status status = entry.symlink_status();
    if (fs::is_directory(status)) {
      nodes.push_back(entry.path());
    } else if (fs::is_regular_file(status) && entry.path().filename() != "name") {
      // `name` is the kernel's own; the rest is the tree's.
      fdt.Bytes(entry.path().filename().string(), ReadFile(entry.path().string()));
    }
  }
  for (const fs::path& node : nodes) {
    fdt.Node(node.filename().string(), [&] { CopyDirectory(fdt, node); });
  }
}

// A path may leave unit addresses out (Devicetree Specification 2.2.3).
bool IsCalled(std::string_view node, std::string_view name) {
  return node == name ||
         (name.find('@') == std::string_view::npos && node.substr(0, node.find('@')) == name);
}

}  // namespace

std::optional<std::vector<std::uint32_t>> DtProperty::Cells() const {
  if (value.size() % 4 != 0) return std::nullopt;
  std::vector<std::uint32_t> cells;
  cells.reserve(value.size() / 4);
  for (std::size_t at = 0; at < value.size(); at += 4) {
    cells.push_back(fdt32_ld(reinterpret_cast<const fdt32_t*>(value.data() + at)));
  }
  return cells;
}

std::vector<std::string> DtProperty::Strings() const {
  std::vector<std::string> strings;
  if (value.empty() || value.back() != std::byte{0}) return strings;
  const auto* text = reinterpret_cast<const char*>(value.data());
  for (std::size_t at = 0; at < value.size(); at += strings.back().size() + 1) {
    strings.emplace_back(text + at);
  }
  return strings;
}

std::string_view DtNode::name() const { return tree_->nodes_[index_].name; }

std::string DtNode::path() const {
  const std::optional<DtNode> above = parent();
  if (!above) return "/";
  const std::string prefix = above->path();
  return (prefix == "/" ? prefix : prefix + "/") + std::string(name());
}

std::optional<DtNode> DtNode::parent() const {
  if (index_ == 0) return std::nullopt;
  return DtNode(*tree_, tree_->nodes_[index_].parent);
}

std::size_t DtNode::subtree_end() const { return tree_->nodes_[index_].subtree_end; }

std::vector<DtNode> DtNode::children() const {
  std::vector<DtNode> result;
  tree_->VisitChildren(index_, [&](const DtNode& child) {
    result.push_back(child);
    return false;
  });
  return result;
}

std::span<const DtProperty> DtNode::properties() const {
  const std::size_t first = tree_->nodes_[index_].first_property;
  const std::size_t end = index_ + 1 == tree_->nodes_.size()
                              ? tree_->properties_.size()
                              : tree_->nodes_[index_ + 1].first_property;
  return std::span(tree_->properties_).subspan(first, end - first);
}

std::optional<DtProperty> DtNode::Property(std::string_view name) const {
  for (const DtProperty& property : properties()) {
    if (property.name == name) return property;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> DtNode::Cell(std::string_view name) const {
  const auto property = Property(name);
  if (!property || property->value.size() < 4) return std::nullopt;
  return fdt32_ld(reinterpret_cast<const fdt32_t*>(property->value.data()));
}

std::vector<std::string> DtNode::Strings(std::string_view name) const {
  const auto property = Property(name);
  return property ? property->Strings() : std::vector<std::string>();
}

bool DtNode::IsCompatible(std::string_view compatible) const {
  const std::vector<std::string> list = Strings("compatible");
  return std::find(list.begin(), list.end(), compatible) != list.end();
}

bool DtNode::IsEnabled() const {
  const std::vector<std::string> status = Strings("status");
  return status.empty() || status.front() == "okay" || status.front() == "ok";
}

DeviceTree::DeviceTree(std::vector<std::byte> blob) : blob_(std::move(blob)) {
  if (blob_.size() < sizeof(fdt_header)) throw Error("not a device tree: too short");
  CheckStructure(blob_);
  const int error = fdt_check_full(blob_.data(), blob_.size());
  if (error != 0) throw Error(std::string("not a device tree: ") + fdt_strerror(error));
  ReadNodes();
  ReadPhandles();
}

// fdt_check_full has been through all of it. A tree without a node, or a property that is in none
// or behind a node below, it lets pass.
void DeviceTree::ReadNodes() {
  std::vector<std::size_t> open;
  int next = 0;
  for (int at = 0; open.size() <= kMaximumDepth; at = next) {
    const std::uint32_t tag = fdt_next_tag(blob(), at, &next);
    if (tag == FDT_BEGIN_NODE) {
      int length = 0;
      const char* name = fdt_get_name(blob(), at, &length);
      const std::size_t index = nodes_.size();
      nodes_.push_back({{name, static_cast<std::size_t>(length)},
                        open.empty() ? index : open.back(),
                        0,
                        properties_.size()});
      open.push_back(index);
    } else if (tag == FDT_PROP && !open.empty() && open.back() + 1 == nodes_.size()) {
      const char* name = nullptr;
      int length = 0;
      const void* value = fdt_getprop_by_offset(blob(), at, &name, &length);
      properties_.push_back(
          {name, {static_cast<const std::byte*>(value), static_cast<std::size_t>(length)}});
    } else if (tag == FDT_END_NODE) {
      nodes_[open.back()].subtree_end = nodes_.size();
      open.pop_back();
      if (open.empty()) return;
    } else if (tag == FDT_END) {
      throw Error("not a device tree: it has no root node");
    }
  }
  throw Error("not a device tree: " + DtNode(*this, nodes_.back().parent).path() +
              ": nodes are more than " + std::to_string(kMaximumDepth) + " deep");
}

void DeviceTree::ReadPhandles() {
  for (const DtNode& node : AllNodes()) {
    for (const std::string_view name : {"phandle", "linux,phandle"}) {
      const auto property = node.Property(name);
      if (!property || property->value.size() != 4) continue;
      const std::uint32_t phandle = node.Cell(name).value();
      if (phandle != 0 && phandle != UINT32_MAX) phandles_.emplace_back(phandle, node.index());
      break;
    }
  }
  std::sort(phandles_.begin(), phandles_.end());
}

std::uint32_t DeviceTree::LargestPhandle() const {
  return phandles_.empty() ? 0 : phandles_.back().first;
}

template <typename Visit>
void DeviceTree::VisitChildren(std::size_t index, Visit&& visit) const {
  for (std::size_t at = index + 1; at < nodes_[index].subtree_end; at = nodes_[at].subtree_end) {
    if (visit(DtNode(*this, at))) return;
  }
}

std::vector<DtNode> DeviceTree::AllNodes() const {
  std::vector<DtNode> nodes;
  nodes.reserve(nodes_.size());
  for (std::size_t index = 0; index < nodes_.size(); ++index) nodes.emplace_back(*this, index);
  return nodes;
}

DeviceTree DeviceTree::FromDirectory(const std::filesystem::path& directory) {
  return WithContext(Error("cannot read the device tree in " + directory.string()), [&] {
    FdtWriter fdt;
    fdt.Node("", [&] { CopyDirectory(fdt, directory); });
    return DeviceTree(fdt.Finish());
  });
}

std::optional<DtNode> DeviceTree::Find(const std::string& path) const {
  if (path.empty() || path.front() != '/') return std::nullopt;
  std::optional<DtNode> node = root();
  for (std::size_t at = 1; node && at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view name = std::string_view(path).substr(at, end - at);
    at = end + 1;
    if (name.empty()) continue;
    std::optional<DtNode> found;
    VisitChildren(node->index(), [&](const DtNode& child) {
      if (IsCalled(child.name(), name)) found = child;
      return found.has_value();
    });
    node = found;
  }
  return node;
}

std::optional<DtNode> DeviceTree::ByPhandle(std::uint32_t phandle) const {
  const auto found =
      std::lower_bound(phandles_.begin(), phandles_.end(), std::pair(phandle, std::size_t{0}));
  if (found == phandles_.end() || found->first != phandle) return std::nullopt;
  return DtNode(*this, found->second);
}

std::vector<std::optional<DtReference>> ReadReferences(const DeviceTree& tree, const DtNode& node,
                                                       std::string_view property,
                                                       std::string_view cells_name) {
  std::vector<std::optional<DtReference>> references;
  const auto found = node.Property(property);
  if (!found) return references;
  const std::string where = node.path() + ": " + std::string(property);
  const auto cells = found->Cells();
  if (!cells) throw Error(where + ": not a list of cells");
  for (std::size_t at = 0; at < cells->size();) {
    if (references.size() == kMostReferences) {
      throw Error(where + ": more than " + std::to_string(kMostReferences) + " entries");
    }
    const std::uint32_t phandle = (*cells)[at++];
    if (phandle == 0) {
      references.emplace_back();
      continue;
    }
    const auto target = tree.ByPhandle(phandle);
    if (!target) throw Error(where + ": no node has phandle " + Hex(phandle));
    const std::size_t count = target->Cell(cells_name).value_or(0);
    if (cells->size() - at < count) throw Error(where + ": the last entry is cut short");
    const auto first = cells->begin() + static_cast<std::ptrdiff_t>(at);
    references.emplace_back(
        DtReference{*target, {first, first + static_cast<std::ptrdiff_t>(count)}});
    at += count;
  }
  return references;
}

std::optional<DtNode> InterruptParent(const DeviceTree& tree, const DtNode& node) {
  // A chain longer than the tree is deep is a loop of interrupt-parents.
  constexpr int kMaximumSteps = 64;
  std::optional<DtNode> at = node;
  for (int step = 0; at && step < kMaximumSteps; ++step) {
    const auto phandle = at->Cell("interrupt-parent");
    at = phandle ? tree.ByPhandle(*phandle) : at->parent();
    if (at && at->Property("#interrupt-cells")) return at;
  }
  return std::nullopt;
}

std::uint32_t CellsBelow(const DtNode& node, std::string_view name) {
  for (std::optional<DtNode> at = node; at; at = at->parent()) {
    if (const auto cells = at->Cell(name)) return *cells;
  }
  return 1;
}

}  // namespace microvm
