// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/device_node.h"

#include <algorithm>
#include <string_view>

#include "vmm/fdt/fdt_writer.h"
#include "vmm/fdt/references.h"
#include "vmm/plan/address_cells.h"
#include "vmm/plan/at_key.h"
#include "vmm/plan/clock_rates.h"
#include "vmm/plan/device_binding.h"
#include "vmm/plan/node_traits.h"
#include "vmm/plan/planned_values.h"
#include "vmm/plan/property_rules.h"

namespace microvm {
namespace {

// The stub's registers, a pair for each reset, fill one page.
constexpr std::uint32_t kBytesPerReset = 8;
constexpr std::uint32_t kMaximumResets = 4096 / kBytesPerReset;

enum class Place {
  kDevice,  // the passed-through node itself
  kBelow,   // a node below it
  kBeside,  // a node of mere data elsewhere in the tree, or below such
};

// Makes the guest's node of one device by the rules of the header.
class NodeMaker {
 public:
  NodeMaker(const DeviceFacts& facts, const DtNode& host, const PassedNodes& passed,
            PlannedDevice& device, std::uint32_t& next_phandle)
      : facts_(facts),
        host_(host),
        passed_(passed),
        binding_(FindBinding(host)),
        device_(device),
        next_phandle_(next_phandle) {}

  void Make() {
    CopyNodes();
    ThrowIfAny(obstacles_, facts_.config.host);
    AddOwnProperties();
    AddPhandles(host_, device_.node);
    for (std::size_t at = 0; at < beside_.size(); ++at) {
      AddPhandles(beside_[at], device_.companions[at]);
    }
  }

  std::vector<Obstacle> FindObstacles() {
    CopyNodes();
    return std::move(obstacles_);
  }

 private:
  // What can be copied of the device's node and those that come with it; the rest are obstacles.
  void CopyNodes() {
    device_.node = Copy(host_, Place::kDevice);
    // A copied node may refer to further ones, which then stand behind it here.
    // NOLINTNEXTLINE(modernize-loop-convert): the list grows
    for (std::size_t at = 0; at < beside_.size(); ++at) {
      const DtNode from = beside_[at];
      PlannedNode copy = Copy(from, Place::kBeside);
      copy.name = BaseName(from) + "-" + std::to_string(phandles_.at(from.path()));
      device_.companions.push_back(std::move(copy));
    }
    if (LeftOutReason(host_, "clocks", Place::kDevice)) return;
    try {
      CheckClockRates(facts_, DroppedClocks());
    } catch (const Error& error) {
      obstacles_.push_back({error.what(), error.remedy(), ""});
    }
  }

  void LeaveOut(const DtNode& node, std::string_view property, std::string_view reason) {
    device_.left_out.push_back(node.path() + ": " + std::string(property) + ": " +
                               std::string(reason));
  }

  PlannedNode Copy(const DtNode& from, Place place) {
    PlannedNode to;
    to.name = std::string(from.name());
    for (const DtProperty& property : from.properties()) CopyProperty(from, property, place, to);
    AddCells(from, place, to);
    const Place below = place == Place::kBeside ? Place::kBeside : Place::kBelow;
    for (const DtNode& child : from.children()) to.children.push_back(Copy(child, below));
    return to;
  }

  void AddCells(const DtNode& from, Place place, PlannedNode& to) {
    for (PlannedProperty& property : InheritedCells(from)) {
      if (place == Place::kDevice && facts_.config.properties.contains(property.name)) continue;
      to.properties.push_back(std::move(property));
    }
  }

  std::optional<std::string> LeftOutReason(const DtNode& from, std::string_view name, Place place) {
    if (IsDropped(facts_, from, name)) return "as 'drop' says";
    if (place == Place::kDevice && binding_ != nullptr) {
      if (const BoundProperty* bound = binding_->Find(name)) {
        if (bound->action == BoundProperty::Action::kRefuse) {
          Refuse(facts_, from, name, "cannot cross: " + std::string(bound->reason));
        }
        return std::string(bound->reason);
      }
    }
    if (name == "device_type" && from.Strings(name) == std::vector<std::string>{"memory"}) {
      return "it is no RAM of the guest's";
    }
    if (name == "interrupt-controller" && !from.Property("#interrupt-cells")) {
      return "without #interrupt-cells nothing can refer to it";
    }
    if (IsText(name) && from.Strings(name).size() != 1) return "it is no text";
    if (const auto reason = HostOnlyReason(name)) return std::string(*reason);
    return std::nullopt;
  }

  void CopyProperty(const DtNode& from, const DtProperty& property, Place place, PlannedNode& to) {
    if (obstacles_.size() == kMostObstacles) return;
    try {
      TryProperty(from, property, place, to);
    } catch (const ObstacleError& error) {
      obstacles_.push_back(error.obstacle());
    } catch (const Error& error) {
      obstacles_.push_back({error.what(), error.remedy(), NameToDrop(facts_, from, property.name)});
    }
  }

  void TryProperty(const DtNode& from, const DtProperty& property, Place place, PlannedNode& to) {
    const std::string_view name = property.name;
    const bool is_device = place == Place::kDevice;
    if (is_device && facts_.config.properties.contains(std::string(name))) return;
    if (name == "phandle" || name == "linux,phandle" || name == "name") return;
    const std::string_view list = ListOfNames(name);
    if (const auto reason = LeftOutReason(from, name, place)) return LeaveOut(from, name, *reason);
    if (!list.empty()) {
      if (const auto reason = LeftOutReason(from, list, place))
        return LeaveOut(from, name, *reason);
    }
    if (is_device && IsRewritten(name)) return;
    if (is_device && !list.empty()) return CopyNames(property, list, to);
    CheckCells(facts_, from, property);
    if (name == "interrupt-parent") return CopyInterruptParent(property, to);
    if (IsHostMap(name)) Refuse(facts_, from, name, "refers to something the guest does not have");
    const std::vector<Reference> references = References(*facts_.tree, from, property);
    if (name.starts_with("interrupts") && !HasAllTargets(references) && IsEthernetPhy(from)) {
      return LeaveOut(from, name, "the guest polls the PHY");
    }
    if (name == "interrupts") {
      if (!HasAllTargets(references)) RefuseReference(facts_, from, references.front());
    } else if (!references.empty()) {
      return CopyReferences(from, property, references, place, to);
    }
    to.properties.push_back(
        {std::string(name), {property.value.begin(), property.value.end()}, "host"});
  }

  // A list's names, without those of the entries that are dropped.
  void CopyNames(const DtProperty& property, std::string_view list, PlannedNode& to) {
    if (const auto entries = host_.Property(list); entries && entries->value.empty()) {
      return LeaveOut(host_, property.name, "the host's " + std::string(list) + " is empty");
    }
    const std::vector<std::string> names = property.Strings();
    const std::vector<bool> dropped = DroppedEntries(facts_, host_, list, names.size());
    if (std::none_of(dropped.begin(), dropped.end(), [](bool is) { return is; })) {
      to.properties.push_back(
          {std::string(property.name), {property.value.begin(), property.value.end()}, "host"});
      return;
    }
    std::vector<std::string> kept;
    for (std::size_t index = 0; index < names.size(); ++index) {
      if (!dropped[index]) kept.push_back(names[index]);
    }
    if (kept.empty()) return;
    to.properties.push_back({std::string(property.name), StringBytes(kept),
                             "host, without what the configuration drops"});
  }

  void CopyInterruptParent(const DtProperty& property, PlannedNode& to) {
    const auto cells = property.Cells();
    if (!cells || cells->size() != 1) return;
    const auto parent = facts_.tree->ByPhandle(cells->front());
    if (!parent) return;
    if (const auto phandle = GuestPhandle(*parent, false)) {
      to.properties.push_back({"interrupt-parent", CellBytes({*phandle}), "host, rewritten"});
    }
  }

  bool HasAllTargets(const std::vector<Reference>& references) {
    return std::all_of(references.begin(), references.end(), [&](const Reference& reference) {
      return GuestPhandle(reference.target, false).has_value();
    });
  }

  // The guest's phandle of a node that the guest has, or can have as a copy if it is mere data.
  std::optional<std::uint32_t> GuestPhandle(const DtNode& target, bool may_copy) {
    const std::string path = target.path();
    if (path == facts_.node_path && device_.phandle != 0) return device_.phandle;
    if (const auto found = passed_.find(path); found != passed_.end()) return found->second;
    if (const auto found = phandles_.find(path); found != phandles_.end()) return found->second;
    const bool is_below = path == facts_.node_path || path.starts_with(facts_.node_path + "/");
    if (!is_below) {
      if (!may_copy || !IsMereData(target)) return std::nullopt;
      beside_.push_back(target);
    }
    phandles_[path] = next_phandle_;
    return next_phandle_++;
  }

  void CopyReferences(const DtNode& from, const DtProperty& property,
                      const std::vector<Reference>& references, Place place, PlannedNode& to) {
    const std::string name(property.name);
    const std::vector<std::uint32_t> cells = property.Cells().value();
    // There are no more entries than cells.
    const std::vector<bool> dropped = place == Place::kDevice
                                          ? DroppedEntries(facts_, host_, name, cells.size())
                                          : std::vector<bool>(cells.size());
    std::vector<std::uint32_t> kept;
    std::size_t next = 0;
    std::size_t index = 0;
    for (std::size_t at = 0; at < cells.size(); ++index) {
      const bool empty = cells[at] == 0 || next == references.size();
      std::vector<std::uint32_t> entry = {cells[at]};
      if (!dropped[index] && !empty) entry = Entry(from, references[next]);
      at += 1 + (empty ? 0 : references[next++].arguments.size());
      if (!dropped[index]) kept.insert(kept.end(), entry.begin(), entry.end());
    }
    if (place == Place::kDevice) ReportDropped(name, index);
    if (kept.empty()) return;
    const bool resets = references.front().supplier == SupplierClass::kReset;
    to.properties.push_back(
        {name, CellBytes(kept), resets ? "resets that do nothing" : "host, rewritten"});
  }

  void ReportDropped(const std::string& list, std::size_t count) {
    const std::vector<bool> dropped = DroppedEntries(facts_, host_, list, count);
    // A list that is dropped whole has its own line.
    if (IsDropped(facts_, host_, list)) return;
    for (std::size_t index = 0; index < count; ++index) {
      if (!dropped[index]) continue;
      LeaveOut(host_, list, "entry " + std::to_string(index) + ", as 'drop' says");
    }
  }

  // What stands in the guest's node for one reference.
  std::vector<std::uint32_t> Entry(const DtNode& from, const Reference& reference) {
    if (const auto phandle = GuestPhandle(reference.target, RefersToData(reference.property))) {
      std::vector<std::uint32_t> cells = {*phandle};
      cells.insert(cells.end(), reference.arguments.begin(), reference.arguments.end());
      return cells;
    }
    if (reference.supplier == SupplierClass::kReset) return StubReset(from);
    if (reference.property == "clocks") return {AddClock(RateBelow(from, reference))};
    RefuseReference(facts_, from, reference);
  }

  // The rate of a clock of a node below.
  std::uint64_t RateBelow(const DtNode& from, const Reference& reference) {
    const auto found = facts_.clocks_below.find(from.path());
    const bool is_read =
        found != facts_.clocks_below.end() && reference.index < found->second.size();
    const ClockFacts* const clock = is_read ? &found->second[reference.index] : nullptr;
    if (clock == nullptr || !clock->rate_hz) {
      Refuse(facts_, from, "clocks",
             "refers to a clock whose rate is not known: " + reference.target.path(),
             "mount -t debugfs none /sys/kernel/debug");
    }
    if (*clock->rate_hz > UINT32_MAX) {
      Refuse(facts_, from, "clocks", "refers to a clock faster than a fixed-clock node can say");
    }
    return *clock->rate_hz;
  }

  // bindings/reset/hisilicon,hi3660-reset.yaml: offset of a register pair, bit.
  std::vector<std::uint32_t> StubReset(const DtNode& from) {
    if (!device_.resets) {
      device_.resets = PlannedResets{next_phandle_, next_phandle_ + 1, 0, std::nullopt};
      next_phandle_ += 2;
    }
    if (device_.resets->count == kMaximumResets) {
      throw Error(from.path() + ": resets: more than " + std::to_string(kMaximumResets));
    }
    return {device_.resets->controller_phandle, device_.resets->count++ * kBytesPerReset, 0};
  }

  std::uint32_t AddClock(std::uint64_t rate_hz, bool configured = false) {
    device_.clocks.push_back(
        {next_phandle_, "clock-" + std::to_string(next_phandle_), rate_hz, configured});
    return next_phandle_++;
  }

  [[nodiscard]] std::vector<bool> DroppedClocks() const {
    return DroppedEntries(facts_, host_, "clocks", facts_.clocks.size());
  }

  void AddOwnProperties();
  void AddClocks();
  void AddCoherence();

  void AddPhandles(const DtNode& from, PlannedNode& to) {
    const auto other = passed_.find(from.path());
    if (other != passed_.end() && !(from == host_)) {
      to.properties.push_back({"phandle", CellBytes({other->second}), "plan"});
    } else if (const auto found = phandles_.find(from.path()); found != phandles_.end()) {
      to.properties.push_back({"phandle", CellBytes({found->second}), "plan"});
      // Only one node of the guest may have it: data below data may be there twice.
      phandles_.erase(found);
    }
    const std::vector<DtNode> children = from.children();
    for (std::size_t index = 0; index < children.size(); ++index) {
      AddPhandles(children[index], to.children[index]);
    }
  }

  const DeviceFacts& facts_;
  const DtNode host_;
  const PassedNodes& passed_;
  const DeviceBinding* binding_;
  PlannedDevice& device_;
  std::uint32_t& next_phandle_;
  std::map<std::string, std::uint32_t> phandles_;  // of the nodes that are copied, by path
  std::vector<DtNode> beside_;                     // nodes of mere data, each once
  std::vector<Obstacle> obstacles_;
};

void NodeMaker::AddOwnProperties() {
  std::vector<PlannedProperty>& properties = device_.node.properties;
  device_.node.name = BaseName(host_);
  if (!device_.regions.empty()) {
    device_.node.name = UnitName(device_.node.name, device_.regions.front().guest.start().value);
    properties.push_back(RegProperty(device_));
  }
  ReportDropped("reg", facts_.regions.size());
  if (!device_.interrupts.empty()) properties.push_back(InterruptsProperty(device_));
  ReportDropped("interrupts", facts_.interrupts.size());
  if (!LeftOutReason(host_, "clocks", Place::kDevice)) AddClocks();
  AddCoherence();
  for (const auto& [name, value] : facts_.config.properties) {
    properties.push_back({name, value, "configuration"});
  }
  if (device_.phandle != 0) properties.push_back({"phandle", CellBytes({device_.phandle}), "plan"});
}

// The guest's node is on no bus that could say it, and a driver that takes a coherent device for
// one that is not, or the other way round, loses data.
void NodeMaker::AddCoherence() {
  const std::optional<DmaCoherence> coherence = FindDmaCoherence(*facts_.tree, host_);
  if (!coherence || coherence->said_by == host_) return;
  const auto& given = facts_.config.properties;
  if (given.contains("dma-coherent") || given.contains("dma-noncoherent")) return;
  device_.node.properties.push_back({coherence->coherent ? "dma-coherent" : "dma-noncoherent",
                                     {},
                                     "host, from " + coherence->said_by.path()});
}

void NodeMaker::AddClocks() {
  const std::vector<bool> dropped = DroppedClocks();
  std::vector<std::uint32_t> phandles;
  for (std::size_t index = 0; index < facts_.clocks.size(); ++index) {
    if (dropped[index]) continue;
    const std::optional<std::uint64_t> rate_hz = ClockRate(facts_, index);
    const bool configured = rate_hz != facts_.clocks[index].rate_hz;
    phandles.push_back(rate_hz ? AddClock(*rate_hz, configured) : 0);
  }
  ReportDropped("clocks", facts_.clocks.size());
  if (phandles.empty()) return;
  device_.node.properties.push_back({"clocks", CellBytes(phandles), "fixed clocks for the host's"});
}

// The device's node; throws Error if the configuration does not fit it.
DtNode HostNode(const DeviceFacts& facts) {
  const auto host = facts.tree->Find(facts.node_path);
  if (!host) throw Error("the host's device tree has no node " + facts.node_path);
  AtKey(facts, "drop", [&] { CheckDrop(facts, *host); });
  AtKey(facts, "clocks", [&] { CheckClockNames(facts); });
  return *host;
}

}  // namespace

void MakeDeviceNode(const DeviceFacts& facts, PlannedDevice& device, std::uint32_t& next_phandle,
                    const PassedNodes& passed) {
  NodeMaker(facts, HostNode(facts), passed, device, next_phandle).Make();
}

std::vector<Obstacle> FindObstacles(const DeviceFacts& facts) {
  PlannedDevice device{};
  std::uint32_t next_phandle = 1;
  return NodeMaker(facts, HostNode(facts), {}, device, next_phandle).FindObstacles();
}

}  // namespace microvm
