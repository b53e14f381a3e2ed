// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/overlay.h"

#include <libfdt.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "vmm/fdt/overlay_additions.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

// Of a node that is there and has them.
constexpr std::array<std::string_view, 7> kDecided = {
    "reg",         "interrupts",       "phandle",         "#address-cells",
    "#size-cells", "#interrupt-cells", "interrupt-parent"};
// Whether it has them or not: what the guest is booted with, and what all nodes inherit.
constexpr std::array<std::string_view, 6> kDecidedOfChosen = {
    "bootargs",   "linux,initrd-start", "linux,initrd-end",
    "kaslr-seed", "rng-seed",           "linux,usable-memory-range"};
constexpr std::string_view kUsableMemory = "linux,usable-memory";  // stands for a memory node's reg
constexpr std::array<std::string_view, 2> kDecidedOfRoot = {"dma-coherent", "dma-noncoherent"};

bool IsOneOf(const auto& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// Whether an overlay's property of a node that is there would change what the plan has decided.
bool IsDecided(const DtNode& there, const DtProperty& property) {
  if (there.path() == "/chosen" && IsOneOf(kDecidedOfChosen, property.name)) return true;
  if (property.name == kUsableMemory && there.name().starts_with("memory@")) return true;
  if (!there.parent() && IsOneOf(kDecidedOfRoot, property.name)) return true;
  // Either would have the node's interrupts be others.
  const bool redirects =
      property.name == "interrupts-extended" || property.name == "interrupt-parent";
  if (redirects && there.Property("interrupts")) return true;
  const auto old = there.Property(property.name);
  if (!old || !IsOneOf(kDecided, property.name)) return false;
  // The overlay's phandles are counted on from the tree's.
  return property.name == "phandle" || !std::ranges::equal(old->value, property.value);
}

std::string RemedyFor(const DtNode& there) {
  if (there.path() == "/chosen") return "boot.initrd and boot.cmdline say how the guest is booted";
  return "the keys 'address' and 'spi' of [[platform]] say where things are";
}

Error Complaint(const std::string& file, const std::string& where, const std::string& what,
                const std::string& remedy = {}) {
  return Error("overlay " + file + ": " + where + ": " + what, remedy);
}

std::string Labels(const DeviceTree& tree) {
  std::string labels;
  const auto symbols = tree.Find("/__symbols__");
  if (!symbols) return labels;
  for (const DtProperty& symbol : symbols->properties()) {
    labels += (labels.empty() ? "" : ", ") + std::string(symbol.name);
  }
  return labels;
}

// The path of the node with a label; "" if there is none.
std::string PathOf(const DeviceTree& tree, std::string_view label) {
  const auto symbols = tree.Find("/__symbols__");
  const std::vector<std::string> path =
      symbols ? symbols->Strings(label) : std::vector<std::string>();
  return path.empty() ? "" : path.front();
}

// The path in the tree of what a fragment is about: by `target-path`, or by the label that
// `__fixups__` has for its `target` (as "/fragment@0:target:0"). "" if neither says.
std::string TargetPath(const DeviceTree& overlay, const DeviceTree& tree, const DtNode& fragment) {
  const std::vector<std::string> path = fragment.Strings("target-path");
  if (!path.empty()) return path.front();
  const std::string reference = fragment.path() + ":target:0";
  const auto fixups = overlay.Find("/__fixups__");
  if (!fixups) return "";
  for (const DtProperty& label : fixups->properties()) {
    const std::vector<std::string> uses = label.Strings();
    if (std::find(uses.begin(), uses.end(), reference) != uses.end()) {
      return PathOf(tree, label.name);
    }
  }
  return "";
}

void CheckLabels(const DeviceTree& overlay, const DeviceTree& tree, const std::string& file) {
  const auto fixups = overlay.Find("/__fixups__");
  if (!fixups) return;
  for (const DtProperty& label : fixups->properties()) {
    if (!PathOf(tree, label.name).empty()) continue;
    const std::vector<std::string> uses = label.Strings();
    const std::string node = uses.empty() ? "?" : uses.front().substr(0, uses.front().find(':'));
    throw Complaint(file, node, "the guest's tree has no label '" + std::string(label.name) + "'",
                    "its labels are: " + Labels(tree));
  }
}

std::string Child(const std::string& path, std::string_view name) {
  return (path == "/" ? path : path + "/") + std::string(name);
}

// That a cell of the property of a node can be at `offset`.
void CheckCell(const DeviceTree& overlay, const std::string& path, std::string_view property,
               std::optional<std::uint32_t> offset, const std::string& file) {
  const auto node = overlay.Find(path);
  const auto found = node ? node->Property(property) : std::nullopt;
  if (found && offset && found->value.size() >= 4 && *offset <= found->value.size() - 4) return;
  throw Complaint(file, path + ": " + std::string(property),
                  "its fixups name a cell that it does not have", "make it with dtc -@");
}

// `__local_fixups__` has the shape of the overlay; its properties are lists of offsets.
void CheckLocalFixups(const DeviceTree& overlay, const DtNode& fixups, const std::string& path,
                      const std::string& file) {
  for (const DtProperty& property : fixups.properties()) {
    const auto offsets = property.Cells();
    if (!offsets) CheckCell(overlay, path, property.name, std::nullopt, file);
    for (const std::uint32_t offset : *offsets) {
      CheckCell(overlay, path, property.name, offset, file);
    }
  }
  for (const DtNode& child : fixups.children()) {
    CheckLocalFixups(overlay, child, Child(path, child.name()), file);
  }
}

// A use of a label, as "/fragment@0:target:0".
void CheckUse(const DeviceTree& overlay, const std::string& use, const std::string& file) {
  const std::size_t first = use.find(':');
  const std::size_t last = use.rfind(':');
  const std::string path = use.substr(0, first);
  if (first == last) CheckCell(overlay, path, "", std::nullopt, file);
  std::uint32_t offset = 0;
  const char* end = use.data() + use.size();
  const auto [stopped, error] = std::from_chars(use.data() + last + 1, end, offset);
  const bool is_number = error == std::errc() && stopped == end;
  CheckCell(overlay, path, use.substr(first + 1, last - first - 1),
            is_number ? std::optional(offset) : std::nullopt, file);
}

// libfdt 1.6.1 takes for granted that fixups are of cells that there are.
void CheckFixups(const DeviceTree& overlay, const std::string& file) {
  if (const auto fixups = overlay.Find("/__local_fixups__")) {
    CheckLocalFixups(overlay, *fixups, "/", file);
  }
  const auto fixups = overlay.Find("/__fixups__");
  if (!fixups) return;
  for (const DtProperty& label : fixups->properties()) {
    for (const std::string& use : label.Strings()) CheckUse(overlay, use, file);
  }
}

}  // namespace

void OverlayMerger::CheckNode(const DtNode& overlay, const DeviceTree& tree,
                              const std::string& path, const std::string& file) {
  const auto there = tree.Find(path);
  for (const DtProperty& property : overlay.properties()) {
    const std::string where = (there ? there->path() : path) + ": " + std::string(property.name);
    const std::vector<std::byte> value(property.value.begin(), property.value.end());
    if (there && IsDecided(*there, property)) {
      throw Complaint(file, where, "is decided by the plan", RemedyFor(*there));
    }
    const auto [setting, is_new] = settings_.try_emplace(where, Setting{file, value});
    if (!is_new && setting->second.value != value) {
      throw Complaint(file, where, "has another value in overlay " + setting->second.file);
    }
  }
  for (const DtNode& child : overlay.children()) {
    CheckNode(child, tree, Child(path, child.name()), file);
  }
}

std::vector<std::byte> OverlayMerger::Merge(std::span<const std::byte> tree,
                                            const std::string& file,
                                            const std::vector<std::byte>& overlay) {
  const DeviceTree base(std::vector<std::byte>(tree.begin(), tree.end()));
  const DeviceTree parsed =
      WithContext(Error("overlay " + file, kOverlayRemedy), [&] { return DeviceTree(overlay); });
  constexpr std::size_t kMostNodes = 2048;  // each of which is held against all others
  if (parsed.AllNodes().size() > kMostNodes) {
    throw Error("overlay " + file + ": more than " + std::to_string(kMostNodes) + " nodes");
  }
  CheckLabels(parsed, base, file);
  CheckFixups(parsed, file);
  bool has_fragment = false;
  for (const DtNode& fragment : parsed.root().children()) {
    const std::vector<DtNode> inside = fragment.children();
    const auto content = std::find_if(inside.begin(), inside.end(), [](const DtNode& child) {
      return child.name() == "__overlay__";
    });
    if (content == inside.end()) continue;
    has_fragment = true;
    const std::string path = TargetPath(parsed, base, fragment);
    if (path.empty() || !base.Find(path)) {
      throw Complaint(file, fragment.path(),
                      "its target " + path + " is no node of the guest's tree");
    }
    CheckNode(*content, base, path, file);
  }
  if (!has_fragment) {
    throw Error("overlay " + file + ": it has no fragment", kOverlayRemedy);
  }
  // libfdt writes into both, and leaves neither usable when it fails.
  std::vector<std::byte> merged(tree.size() + 2 * overlay.size());
  std::vector<std::byte> scratch = overlay;
  int error = fdt_open_into(tree.data(), merged.data(), static_cast<int>(merged.size()));
  if (error == 0) error = fdt_overlay_apply(merged.data(), scratch.data());
  if (error == 0) error = fdt_pack(merged.data());
  if (error != 0) throw Error("overlay " + file + ": " + fdt_strerror(error));
  merged.resize(fdt_totalsize(merged.data()));
  CheckAdditions(base, DeviceTree(merged), file);
  return merged;
}

}  // namespace microvm
