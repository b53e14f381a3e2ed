// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/inspect.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "arch/arm64/guest_tree.h"
#include "vmm/host/error.h"
#include "vmm/inspect/pretend_vm.h"
#include "vmm/plan/device_node.h"
#include "vmm/plan/property_rules.h"

namespace microvm {
namespace {

// Stands for a rate that only the running host knows.
constexpr std::uint64_t kPretendedHz = 100'000'000;

void PretendRates(std::vector<ClockFacts>& clocks) {
  for (ClockFacts& clock : clocks) {
    const bool is_told = !clock.provider.empty() && !clock.circular;
    if (is_told) clock.rate_hz = clock.rate_hz.value_or(kPretendedHz);
  }
}

std::string_view WithoutUnitAddress(std::string_view name) {
  return name.substr(0, name.find('@'));
}

// One of a list of names.
std::string NameAt(const DtNode& node, std::string_view property, std::size_t index) {
  const auto names = node.Property(property);
  if (!names || names->value.empty()) return "";
  std::string_view rest(reinterpret_cast<const char*>(names->value.data()), names->value.size());
  for (std::size_t at = 0;; ++at) {
    const std::size_t end = rest.find('\0');
    if (end == std::string_view::npos) return "";
    if (at == index) return std::string(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
}

// "clocks" -> "clock-names", "mboxes" -> "mbox-names".
std::string NamesProperty(std::string property) {
  if (property == "mboxes") property = "mboxs";
  if (property.ends_with('s')) property.pop_back();
  return property + "-names";
}

bool IsBelow(const DtNode& node, const DtNode& top) {
  return node.path().starts_with(top.path() + "/");
}

bool IsInterrupt(const Reference& reference) {
  return reference.property == "interrupts" || reference.property == "interrupts-extended";
}

std::vector<RegionView> Regions(const HostIndex& index, const NodeFacts& device) {
  std::vector<RegionView> views;
  for (const NodeRegion& region : device.regions) {
    views.push_back({NameAt(device.node, "reg-names", views.size()), region,
                     index.SharersOfPages(device.node, region),
                     index.OwnersOf(device.node, region)});
  }
  return views;
}

std::vector<InterruptView> Interrupts(const HostIndex& index, const NodeFacts& device) {
  std::vector<InterruptView> views;
  std::set<LineIdentity> lines;
  for (const Reference& reference : device.references) {
    if (!IsInterrupt(reference)) continue;
    InterruptView view;
    view.name = NameAt(device.node, "interrupt-names", views.size());
    view.line = ReadInterruptLine(index.tree(), device.node, reference.target, reference.arguments);
    view.shared_with = index.SharersOf(device.node, reference);
    view.duplicate = !lines.insert(IdentityOf(view.line)).second;
    views.push_back(std::move(view));
  }
  return views;
}

std::vector<SupplierView> Suppliers(const HostIndex& index, const NodeFacts& device,
                                    const std::vector<ClockFacts>& clocks) {
  std::vector<SupplierView> views;
  for (const Reference& reference : device.references) {
    if (IsInterrupt(reference) || reference.supplier == SupplierClass::kIommu) continue;
    // Crosses with the device's node.
    if (IsBelow(reference.target, device.node) || RefersToData(reference.property)) continue;
    SupplierView view{.supplier = reference.supplier,
                      .property = std::string(reference.property),
                      .name = NameAt(device.node, NamesProperty(std::string(reference.property)),
                                     reference.index),
                      .provider = reference.target.path(),
                      .arguments = reference.arguments,
                      .fixed = reference.target.IsCompatible("fixed-clock") ||
                               reference.target.IsCompatible("fixed-factor-clock"),
                      .rate_hz = {},
                      .shared_with = index.SharersOf(device.node, reference)};
    if (reference.property == "clocks" && reference.index < clocks.size()) {
      view.rate_hz = clocks[reference.index].rate_hz;
    }
    views.push_back(std::move(view));
  }
  return views;
}

std::string ClockName(const std::vector<ClockFacts>& clocks, std::size_t index) {
  return clocks[index].name.empty() ? std::to_string(index) : clocks[index].name;
}

std::string FixOf(const Obstacle& obstacle) {
  if (obstacle.drop.empty()) return obstacle.instead;
  return (obstacle.instead.empty() ? "if" : obstacle.instead + "; or, if") +
         " the guest's driver can do without it: " + DropLine({obstacle.drop});
}

// To leave out what addresses or interrupts of others go through makes a bus that leads nowhere:
// that is for those who know what they want of it.
bool CanBeLeftOut(const Obstacle& obstacle) {
  const std::string property = obstacle.drop.substr(obstacle.drop.rfind('/') + 1);
  return !property.empty() && !IsHostMap(property);
}

// What a start cannot find out by itself, the configuration has to say.
std::vector<ClockFacts> WithDriverRates(const InspectInput& input, Inspection& inspection) {
  std::vector<ClockFacts> clocks = input.clocks;
  for (std::size_t at = 0; at < clocks.size(); ++at) {
    // Of those that were asked for without a name only the first is known.
    auto found = clocks[at].name.empty() ? input.driver_rates.end()
                                         : input.driver_rates.find(clocks[at].name);
    if (found == input.driver_rates.end() && at == 0) found = input.driver_rates.find("");
    if (clocks[at].rate_hz || found == input.driver_rates.end()) continue;
    clocks[at].rate_hz = found->second;
    inspection.driver_rates[ClockName(clocks, at)] = found->second;
  }
  return clocks;
}

// Tries to make the guest's node; what stands against it, and what had to be left out. What cannot
// cross is left out too, so that the table to write is one that has been tried.
std::vector<Reason> Synthesise(const HostIndex& index, Inspection& inspection,
                               const InspectInput& input) {
  std::vector<Reason> reasons;
  for (std::size_t at = 0; at < input.clocks.size(); ++at) {
    const ClockFacts& clock = input.clocks[at];
    const bool is_hole = clock.provider.empty();
    if (!clock.rate_hz && !is_hole && !clock.circular)
      inspection.unknown_rates.push_back(ClockName(input.clocks, at));
  }
  // What the CPU does not reach is no device to VFIO, and has nothing that a guest could reach.
  const bool is_line = inspection.regions.empty() && !inspection.interrupts.empty();
  if (!is_line && !HasReachedRegion(inspection)) return reasons;
  try {
    const std::vector<Obstacle> obstacles = FindObstacles(PretendedFacts(index, inspection, input));
    for (const Obstacle& obstacle : obstacles) {
      reasons.push_back({Verdict::kNeedsBinding, obstacle.what, FixOf(obstacle)});
    }
    if (!std::all_of(obstacles.begin(), obstacles.end(), CanBeLeftOut)) {
      inspection.has_no_table =
          std::any_of(obstacles.begin(), obstacles.end(), [](const Obstacle& obstacle) {
            return !obstacle.drop.empty() && !CanBeLeftOut(obstacle);
          });
      return reasons;
    }
    inspection.drop = DropsOf(obstacles);
    const VmPlan plan = PlanPretendedVm({PretendedFacts(index, inspection, input)});
    inspection.guest_tree = BuildGuestTree(plan, {});
    inspection.left_out = plan.devices.front().left_out;
    if (plan.devices.front().resets) {
      reasons.push_back({Verdict::kWithStubs,
                         "its resets are lines of a controller that does nothing",
                         "a guest's kernel with CONFIG_COMMON_RESET_HI3660 and CONFIG_MFD_SYSCON"});
    }
  } catch (const Error& error) {
    // No key of the table helps.
    inspection.drop.clear();
    inspection.has_no_table = true;
    reasons.push_back({Verdict::kRefused, inspection.node + ": " + error.what(), error.remedy()});
  }
  return reasons;
}

// Whether the host's firmware, and its kernel unless told otherwise, write to it.
bool IsConsole(const DeviceTree& tree, const DtNode& node) {
  const auto chosen = tree.Find("/chosen");
  if (!chosen) return false;
  for (const char* name : {"stdout-path", "linux,stdout-path"}) {
    const std::vector<std::string> text = chosen->Strings(name);
    if (text.empty()) continue;
    std::string path = text.front().substr(0, text.front().find(':'));
    const auto aliases = tree.Find("/aliases");
    if (!path.starts_with('/') && aliases) {
      const std::vector<std::string> meant = aliases->Strings(path);
      if (!meant.empty()) path = meant.front();
    }
    return path.starts_with('/') && tree.Find(path) == node;
  }
  return false;
}

// Runs `step`; an Error is a reason against the device, as the kernel would stumble over it too.
template <typename Step>
void Gather(std::vector<Reason>& reasons, Step&& step) {
  try {
    step();
  } catch (const Error& error) {
    reasons.push_back({Verdict::kRefused, error.what()});
  }
}

// Where the CPU finds the node's registers, if it does.
std::optional<std::uint64_t> FirstAddress(const DtNode& node) {
  try {
    const std::vector<NodeRegion> regions = ReadRegions(node);
    return regions.empty() ? std::nullopt : regions.front().cpu_address;
  } catch (const Error&) {
    return std::nullopt;  // Linux goes on to the node above, too
  }
}

bool IsDeviceName(const DtNode& node, std::string_view name) {
  // The names of few nodes fit, and making one up takes the addresses of all buses above.
  const std::string_view own = node.name();
  if (!name.ends_with(own) && !name.ends_with(WithoutUnitAddress(own))) return false;
  return name == DeviceName(node);
}

std::string LooksLike(const HostIndex& index, std::string_view name) {
  std::string similar;
  const std::string_view part = name.substr(0, name.find_first_of(".@"));
  if (part.empty()) return similar;
  for (const DtNode& node : index.tree().AllNodes()) {
    if (DeviceName(node).find(part) == std::string::npos) continue;
    similar += "\n  " + node.path();
    if (std::count(similar.begin(), similar.end(), '\n') == HostIndex::kMostUsers) break;
  }
  return similar;
}

}  // namespace

std::string DeviceName(const DtNode& node) {
  // Without an address of its own: the names above it, up to one that has.
  std::string name;
  for (std::optional<DtNode> at = node; at && at->parent(); at = at->parent()) {
    const std::string suffix = name.empty() ? name : ":" + name;
    if (const auto address = FirstAddress(*at)) {
      return Hex(*address).substr(2) + "." + std::string(WithoutUnitAddress(at->name())) + suffix;
    }
    name = std::string(at->name()) + suffix;
  }
  return name;
}

DeviceFacts PretendedFacts(const HostIndex& index, const Inspection& inspection,
                           const InspectInput& input) {
  DeviceFacts facts;
  facts.config.host = inspection.device;
  facts.config.drop = inspection.drop;
  facts.config.dma = inspection.dma.behind_iommu() ? DmaMode::kIommu : DmaMode::kNone;
  for (const RegionView& view : inspection.regions) {
    // Linux makes no more of them (drivers/of/platform.c: of_device_alloc).
    if (!view.region.cpu_address) break;
    facts.regions.push_back({view.region.size_bytes, view.region.IsPageAligned()});
  }
  for (const InterruptView& view : inspection.interrupts) {
    facts.interrupts.push_back({view.line.trigger != Trigger::kEdge});
  }
  facts.clocks = input.clocks;
  facts.clocks_below = input.clocks_below;
  if (!inspection.live) {
    PretendRates(facts.clocks);
    for (auto& [path, clocks] : facts.clocks_below) PretendRates(clocks);
  }
  facts.tree = index.shared_tree();
  facts.node_path = inspection.node;
  return facts;
}

DtNode FindNode(const HostIndex& index, const std::string& name) {
  if (name.starts_with('/')) {
    const auto node = index.tree().Find(name);
    if (node) return *node;
    throw Error("the tree has no node " + name);
  }
  std::vector<DtNode> found;
  for (const DtNode& node : index.tree().AllNodes()) {
    if (name == node.name() || IsDeviceName(node, name)) found.push_back(node);
  }
  if (found.size() > 1) {
    // A unit address counts from its bus: a device that the CPU reaches is the likelier one.
    std::erase_if(found, [](const DtNode& node) { return !FirstAddress(node); });
  }
  if (found.size() == 1) return found.front();
  std::string paths;
  for (const DtNode& node : found) paths += "\n  " + node.path();
  if (!found.empty()) {
    throw Error("the tree has " + std::to_string(found.size()) + " nodes '" + name + "'",
                "give the path of one:" + paths);
  }
  const std::string similar = LooksLike(index, name);
  throw Error("the tree has no node '" + name + "'",
              similar.empty() ? "give its path, or a name such as ff070000.canfd"
                              : "did you mean one of these?" + similar);
}

Inspection Inspect(const HostIndex& index, const DtNode& node, const InspectInput& input) {
  const NodeFacts device = index.Read(node);
  Inspection inspection;
  InspectInput known = input;
  known.clocks = WithDriverRates(input, inspection);
  std::vector<Reason> reasons;
  inspection.device = input.live ? input.live->name : DeviceName(node);
  inspection.node = node.path();
  inspection.compatible = node.Strings("compatible");
  inspection.enabled = device.enabled;
  inspection.amba = node.IsCompatible("arm,primecell");
  if (const auto maker = MakerOf(node); maker && !input.live) inspection.maker = maker->path();
  inspection.live = input.live;
  if (!device.malformed.empty()) reasons.push_back({Verdict::kRefused, device.malformed});
  Gather(reasons, [&] { inspection.regions = Regions(index, device); });
  Gather(reasons, [&] { inspection.interrupts = Interrupts(index, device); });
  if (reasons.empty() && inspection.regions.empty() && inspection.interrupts.empty()) {
    // VFIO's driver binds to it all the same.
    reasons.push_back({Verdict::kRefused,
                       "it has neither registers nor interrupts: there is nothing to hand over"});
  }
  Gather(reasons, [&] { inspection.dma = ReadDma(index, device); });
  Gather(reasons, [&] { inspection.suppliers = Suppliers(index, device, known.clocks); });
  inspection.users = index.UsersOf(node);
  // A running host says itself what its console is.
  if (!input.live && IsConsole(index.tree(), node)) {
    inspection.users.push_back({"/chosen", "stdout-path"});
  }
  inspection.reset_driver = ResetDriver(node);
  for (Reason& reason : Synthesise(index, inspection, known)) reasons.push_back(std::move(reason));
  Judge(inspection, std::move(reasons));
  return inspection;
}

}  // namespace microvm
