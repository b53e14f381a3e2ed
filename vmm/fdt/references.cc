// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/references.h"

#include <array>
#include <optional>
#include <string>

#include "vmm/fdt/reference_rules.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

using enum SupplierClass;

// Takes the entries of one property apart.
class Reader {
 public:
  Reader(const DeviceTree& tree, const DtNode& node, const DtProperty& property,
         SupplierClass supplier)
      : tree_(tree), node_(node), property_(property), supplier_(supplier) {
    const auto cells = property.Cells();
    if (!cells) throw Error(Where() + ": not a list of cells");
    cells_ = *cells;
  }

  std::vector<Reference> Read(const ReferenceRule& rule) {
    if (rule.shape == ReferenceShape::kMap) return ReadMap(rule.count);
    while (at_ < cells_.size()) {
      const std::optional<DtNode> target = Target();
      std::size_t count = 0;
      if (rule.shape == ReferenceShape::kLeading) {
        count = cells_.size() - at_;
      } else if (target) {
        count = rule.shape == ReferenceShape::kFixed ? rule.count
                                                     : target->Cell(rule.cells).value_or(0);
      }
      Add(target, count);
    }
    return std::move(references_);
  }

  // `interrupt-map`: child address, child specifier, parent, parent address, parent specifier.
  std::vector<Reference> ReadInterruptMap() {
    const std::size_t child = std::size_t{node_.Cell("#address-cells").value_or(2)} +
                              node_.Cell("#interrupt-cells").value_or(1);
    while (at_ < cells_.size()) {
      if (child >= cells_.size() - at_) throw CutShort();
      at_ += child;
      const std::optional<DtNode> target = Target();
      if (!target) throw Error(Where() + ": no node has phandle 0x0");
      Add(target, std::size_t{target->Cell("#address-cells").value_or(0)} +
                      target->Cell("#interrupt-cells").value_or(1));
    }
    return std::move(references_);
  }

  // `interrupts`: specifiers for `parent`.
  std::vector<Reference> ReadInterrupts(const DtNode& parent) {
    const std::size_t count = parent.Cell("#interrupt-cells").value_or(0);
    if (count == 0) {
      throw Error(Where() + ": its interrupt parent " + parent.path() + " has no #interrupt-cells");
    }
    while (at_ < cells_.size()) Add(parent, count);
    return std::move(references_);
  }

 private:
  [[nodiscard]] std::string Where() const {
    return node_.path() + ": " + std::string(property_.name);
  }
  [[nodiscard]] Error CutShort() const { return Error(Where() + ": the last entry is cut short"); }

  std::optional<DtNode> Target() {
    const std::uint32_t phandle = cells_[at_++];
    if (phandle == 0) return std::nullopt;
    const auto target = tree_.ByPhandle(phandle);
    if (!target) throw Error(Where() + ": no node has phandle " + Hex(phandle));
    return target;
  }

  void Add(const std::optional<DtNode>& target, std::size_t count) {
    if (cells_.size() - at_ < count) throw CutShort();
    if (index_ == kMostReferences) {
      throw Error(Where() + ": more than " + std::to_string(kMostReferences) + " entries");
    }
    const auto first = cells_.begin() + static_cast<std::ptrdiff_t>(at_);
    at_ += count;
    if (target) {
      references_.push_back({property_.name,
                             index_,
                             supplier_,
                             *target,
                             {first, first + static_cast<std::ptrdiff_t>(count)}});
    }
    ++index_;
  }

  std::vector<Reference> ReadMap(std::size_t count) {
    if (cells_.size() % count != 0) throw CutShort();
    while (at_ < cells_.size()) {
      ++at_;
      Add(Target(), count - 2);
    }
    return std::move(references_);
  }

  const DeviceTree& tree_;
  const DtNode& node_;
  const DtProperty& property_;
  SupplierClass supplier_;
  std::vector<std::uint32_t> cells_;
  std::size_t at_ = 0;
  std::size_t index_ = 0;
  std::vector<Reference> references_;
};

constexpr std::array kWords = {
    "clock",
    "reset",
    "power domain",
    "pin controller",
    "IOMMU",
    "interconnect",
    "PHY",
    "Ethernet PHY",
    "GPIO",
    "regulator",
    "DMA channel",
    "mailbox",
    "thermal zone",
    "NVMEM cell",
    "memory region",
    "system controller",
    "interrupt controller",
    "other node",
};
static_assert(kWords.size() == static_cast<std::size_t>(SupplierClass::kOther) + 1);

}  // namespace

std::vector<Reference> References(const DeviceTree& tree, const DtNode& node) {
  std::vector<Reference> references;
  for (const DtProperty& property : node.properties()) {
    for (Reference& reference : References(tree, node, property)) {
      references.push_back(std::move(reference));
    }
  }
  return references;
}

std::vector<Reference> References(const DeviceTree& tree, const DtNode& node,
                                  const DtProperty& property) {
  if (property.name == "interrupts") {
    // interrupts-extended takes precedence (Devicetree Specification 2.4.1.2).
    if (node.Property("interrupts-extended")) return {};
    const auto parent = InterruptParent(tree, node);
    if (!parent) throw Error(node.path() + ": interrupts: it has no interrupt parent");
    return Reader(tree, node, property, kInterrupt).ReadInterrupts(*parent);
  }
  if (property.name == "interrupts-extended") {
    return Reader(tree, node, property, kInterrupt)
        .Read({"interrupts-extended", kInterrupt, ReferenceShape::kList, "#interrupt-cells"});
  }
  if (property.name == "interrupt-map") {
    return Reader(tree, node, property, kInterrupt).ReadInterruptMap();
  }
  const ReferenceRule* const rule = FindReferenceRule(node, property.name);
  if (rule == nullptr) return {};
  return Reader(tree, node, property, rule->supplier).Read(*rule);
}

const char* ToString(SupplierClass supplier) { return kWords[static_cast<std::size_t>(supplier)]; }

}  // namespace microvm
