// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/property_rules.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "vmm/config/closest_word.h"
#include "vmm/fdt/reference_rules.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::array<std::string_view, 9> kRewritten = {
    "reg",     "interrupts", "interrupts-extended", "interrupt-parent",
    "phandle", "name",       "linux,phandle",       "status",
    "clocks"};

// Not rewritten: addresses of the host's buses, and interrupts of others behind the device.
constexpr std::array<std::string_view, 4> kHostMaps = {"ranges", "dma-ranges", "interrupt-map",
                                                       "msi-map"};

// bindings/net/snps,dwmac.yaml; what NVIDIA's MAC driver reads of interrupts and DMA channels, on
// hosts without a hypervisor too.
constexpr std::array<std::string_view, 5> kDataReferences = {
    "snps,axi-config", "snps,mtl-rx-config", "snps,mtl-tx-config", "nvidia,vm-irq-config",
    "nvidia,vm-vdma-config"};

struct HostOnly {
  std::string_view property;
  std::string_view reason;
};

constexpr std::string_view kIommuReason = "the host's IOMMU is set up by VFIO";
constexpr std::string_view kPowerReason = "VFIO keeps the device powered";
constexpr std::string_view kScalingReason = "the host scales clocks and voltage";
constexpr std::string_view kBandwidthReason = "the host keeps the bandwidth";
constexpr std::string_view kRatesReason = "the host has set the rates";
constexpr std::string_view kPinsReason = "the host has set the pins";
constexpr std::string_view kCoolingReason = "the host keeps the device cool";

constexpr std::array kHostOnly = {
    HostOnly{"iommus", kIommuReason},
    HostOnly{"iommu-map", kIommuReason},
    HostOnly{"iommu-map-mask", kIommuReason},
    HostOnly{"msi-parent", "platform devices interrupt the guest by SPI"},
    HostOnly{"wakeup-parent", "the host alone sleeps"},
    HostOnly{"power-domains", kPowerReason},
    HostOnly{"performance-domains", kScalingReason},
    HostOnly{"operating-points-v2", kScalingReason},
    HostOnly{"required-opps", kScalingReason},
    HostOnly{"interconnects", kBandwidthReason},
    HostOnly{"assigned-clocks", kRatesReason},
    HostOnly{"assigned-clock-rates", kRatesReason},
    HostOnly{"assigned-clock-rates-u64", kRatesReason},
    HostOnly{"assigned-clock-parents", kRatesReason},
    HostOnly{"clock-ranges", "the guest's clocks are fixed"},
    HostOnly{"gpio-ranges", kPinsReason},
    HostOnly{"gpio-ranges-group-names", kPinsReason},
    HostOnly{"cooling-device", kCoolingReason},
    HostOnly{"thermal-sensors", kCoolingReason},
};

struct List {
  std::string_view list;
  std::string_view names;
};

constexpr std::array kLists = {
    List{"reg", "reg-names"},
    List{"interrupts", "interrupt-names"},
    List{"interrupts-extended", "interrupt-names"},
    List{"clocks", "clock-names"},
    List{"resets", "reset-names"},
    List{"power-domains", "power-domain-names"},
    List{"interconnects", "interconnect-names"},
    List{"iommus", "iommu-names"},
    List{"phys", "phy-names"},
    List{"dmas", "dma-names"},
    List{"mboxes", "mbox-names"},
    List{"nvmem-cells", "nvmem-cell-names"},
    List{"memory-region", "memory-region-names"},
    List{"io-channels", "io-channel-names"},
    List{"hwlocks", "hwlock-names"},
    List{"pwms", "pwm-names"},
    List{"thermal-sensors", "thermal-sensor-names"},
    List{"nvmem", "nvmem-names"},
    List{"mux-controls", "mux-control-names"},
    List{"mux-states", "mux-state-names"},
    List{"io-backends", "io-backend-names"},
    List{"leds", "led-names"},
    List{"performance-domains", "performance-domain-names"},
    List{"access-controllers", "access-controller-names"},
};

bool IsOneOf(const auto& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// The names of a list's entries on the device's node, as far as it has them.
std::vector<std::string> EntryNames(const DtNode& device, std::string_view list) {
  const std::string_view names = NamesOfList(list);
  return names.empty() ? std::vector<std::string>() : device.Strings(names);
}

bool IsEntry(std::string_view entry, const std::vector<std::string>& names, std::size_t index) {
  if (index < names.size() && names[index] == entry) return true;
  return entry == std::to_string(index);
}

bool HasProperty(const DtNode& node, std::string_view property) {
  if (node.Property(property)) return true;
  const std::vector<DtNode> children = node.children();
  return std::any_of(children.begin(), children.end(),
                     [&](const DtNode& child) { return HasProperty(child, property); });
}

// How many entries a list can have; the host's device says it best.
std::size_t EntryLimit(const DeviceFacts& facts, std::string_view list,
                       const DtProperty& property) {
  if (list == "reg") return facts.regions.size();
  if (list == "interrupts") return facts.interrupts.size();
  if (list == "clocks") return facts.clocks.size();
  return property.value.size() / 4;  // more entries than cells there cannot be
}

// A list of the device's node of which `drop` can name entries; nothing if it has none of that
// name.
std::optional<DtProperty> FindList(const DtNode& device, std::string_view list) {
  if (NamesOfList(list).empty()) return std::nullopt;
  const auto property = device.Property(list);
  return list == "interrupts" && !property ? device.Property("interrupts-extended") : property;
}

bool NamesSomething(const DeviceFacts& facts, const DtNode& device, const std::string& drop) {
  if (const std::size_t colon = drop.find(':'); colon != std::string::npos) {
    const std::string list = drop.substr(0, colon);
    const std::string entry = drop.substr(colon + 1);
    const auto property = FindList(device, list);
    if (!property) return false;
    const std::vector<std::string> names = EntryNames(device, list);
    std::size_t number = 0;
    const auto parsed = std::from_chars(entry.data(), entry.data() + entry.size(), number);
    const bool is_number = parsed.ec == std::errc() && parsed.ptr == entry.data() + entry.size();
    return IsOneOf(names, entry) || (is_number && number < EntryLimit(facts, list, *property));
  }
  if (const std::size_t slash = drop.rfind('/'); slash != std::string::npos) {
    const auto child = facts.tree->Find(facts.node_path + "/" + drop.substr(0, slash));
    return child && child->Property(drop.substr(slash + 1));
  }
  return HasProperty(device, drop);
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// What there is to drop in the place of what names nothing.
std::string DropRemedy(const DeviceFacts& facts, const DtNode& device, const std::string& drop) {
  std::vector<std::string> known;
  if (const std::size_t colon = drop.find(':'); colon != std::string::npos) {
    const std::string list = drop.substr(0, colon);
    if (!FindList(device, list)) {
      for (const List& each : kLists) {
        const bool is_known = each.list != "interrupts-extended" && FindList(device, each.list);
        if (is_known) known.emplace_back(each.list);
      }
      return "its lists with entries to drop are: " + Join(known);
    }
    for (const std::string& name : EntryNames(device, list)) {
      known.push_back(std::string(list).append(":").append(name));
    }
    if (known.empty()) return "its entries have numbers, from " + list + ":0 on";
  } else {
    const std::string child = drop.substr(0, drop.rfind('/') + 1);  // "" or "CHILD/"
    const auto node = facts.tree->Find(facts.node_path + "/" + child);
    if (!node) return "there is no node " + child + " below it";
    for (const DtProperty& each : node->properties()) {
      known.push_back(child + std::string(each.name));
    }
  }
  const std::string similar = ClosestWord(drop, known);
  return similar.empty() ? "it has: " + Join(known) : "did you mean '" + similar + "'?";
}

}  // namespace

bool IsRewritten(std::string_view property) { return IsOneOf(kRewritten, property); }

bool IsText(std::string_view property) {
  return property == "status" || property == "model" || property == "label";
}

bool IsHostMap(std::string_view property) { return IsOneOf(kHostMaps, property); }

bool RefersToData(std::string_view property) { return IsOneOf(kDataReferences, property); }

std::optional<std::string_view> HostOnlyReason(std::string_view property) {
  if (property == "pinctrl-names" || IsPinState(property)) return kPinsReason;
  const auto* const found =
      std::find_if(kHostOnly.begin(), kHostOnly.end(),
                   [&](const HostOnly& entry) { return entry.property == property; });
  return found == kHostOnly.end() ? std::nullopt : std::optional(found->reason);
}

std::string_view ListOfNames(std::string_view names) {
  const auto* const found = std::find_if(kLists.begin(), kLists.end(),
                                         [&](const auto& list) { return list.names == names; });
  return found == kLists.end() ? std::string_view() : found->list;
}

std::string_view NamesOfList(std::string_view list) {
  const auto* const found = std::find_if(kLists.begin(), kLists.end(),
                                         [&](const auto& entry) { return entry.list == list; });
  return found == kLists.end() ? std::string_view() : found->names;
}

bool IsDropped(const DeviceFacts& facts, const DtNode& node, std::string_view property) {
  if (facts.config.drop.empty()) return false;
  if (IsOneOf(facts.config.drop, property)) return true;
  const std::string path = node.path() + "/" + std::string(property);
  const std::string prefix = facts.node_path + "/";
  return path.starts_with(prefix) && IsOneOf(facts.config.drop, path.substr(prefix.size()));
}

std::vector<bool> DroppedEntries(const DeviceFacts& facts, const DtNode& device,
                                 std::string_view list, std::size_t count) {
  std::vector<bool> dropped(count, IsOneOf(facts.config.drop, list));
  const std::vector<std::string> names = EntryNames(device, list);
  const std::string prefix = std::string(list) + ":";
  for (const std::string& drop : facts.config.drop) {
    if (!drop.starts_with(prefix)) continue;
    for (std::size_t index = 0; index < count; ++index) {
      if (IsEntry(drop.substr(prefix.size()), names, index)) dropped[index] = true;
    }
  }
  return dropped;
}

std::vector<std::uint32_t> KeptEntries(const DeviceFacts& facts, std::string_view list,
                                       std::size_t count) {
  const auto node = facts.tree->Find(facts.node_path);
  const std::vector<bool> dropped =
      node ? DroppedEntries(facts, *node, list, count) : std::vector<bool>(count);
  std::vector<std::uint32_t> kept;
  for (std::uint32_t index = 0; index < count; ++index) {
    if (!dropped[index]) kept.push_back(index);
  }
  return kept;
}

void CheckDrop(const DeviceFacts& facts, const DtNode& device) {
  for (const std::string& drop : facts.config.drop) {
    if (drop.substr(0, drop.find(':')) == "interrupts-extended") {
      throw Error(facts.node_path + ": interrupts of either property are called 'interrupts'");
    }
    if (NamesSomething(facts, device, drop)) continue;
    throw Error(facts.node_path + " has no '" + drop + "'", DropRemedy(facts, device, drop));
  }
}

}  // namespace microvm
