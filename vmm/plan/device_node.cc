// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/device_node.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace microvm {
namespace {

// Written anew, or meaningless outside their tree.
constexpr std::array<std::string_view, 8> kRewritten = {
    "reg",     "interrupts", "interrupts-extended", "interrupt-parent",
    "phandle", "name",       "linux,phandle",       "status"};

struct HostOnly {
  std::string_view property;
  std::string_view reason;
};

// What the host has done, or does, for the device: nothing is left for the guest to do.
constexpr std::array kHostOnly = {
    HostOnly{"iommus", "the host's IOMMU is set up by VFIO"},
    HostOnly{"iommu-map", "the host's IOMMU is set up by VFIO"},
    HostOnly{"msi-parent", "platform devices interrupt the guest by SPI"},
    HostOnly{"power-domains", "VFIO keeps the device powered"},
    HostOnly{"power-domain-names", "VFIO keeps the device powered"},
    HostOnly{"operating-points-v2", "the host scales clocks and voltage"},
    HostOnly{"interconnects", "the host keeps the bandwidth"},
    HostOnly{"interconnect-names", "the host keeps the bandwidth"},
    HostOnly{"assigned-clocks", "the host has set the rates"},
    HostOnly{"assigned-clock-rates", "the host has set the rates"},
    HostOnly{"assigned-clock-parents", "the host has set the rates"},
    HostOnly{"clock-ranges", "the guest's clocks are fixed"},
};

// Properties whose value names nodes that provide something (devicetree bindings, the consumer
// side). A guest without that node's driver could not use the device.
constexpr std::array<std::string_view, 37> kReferences = {"gpio",
                                                          "mmc-pwrseq",
                                                          "ddc-i2c-bus",
                                                          "sfp",
                                                          "thermal-sensors",
                                                          "nand-ecc-engine",
                                                          "gpios",
                                                          "gpio-ranges",
                                                          "interrupt-map",
                                                          "msi-map",
                                                          "usb-phy",
                                                          "extcon",
                                                          "syscon",
                                                          "nvmem",
                                                          "ranges",
                                                          "dma-ranges",
                                                          "dmas",
                                                          "resets",
                                                          "phys",
                                                          "phy-handle",
                                                          "phy",
                                                          "pcs-handle",
                                                          "mboxes",
                                                          "io-channels",
                                                          "nvmem-cells",
                                                          "hwlocks",
                                                          "memory-region",
                                                          "thermal-zones",
                                                          "sound-dai",
                                                          "power-supplies",
                                                          "mux-controls",
                                                          "pwms",
                                                          "leds",
                                                          "backlight",
                                                          "remote-endpoint",
                                                          "cooling-device",
                                                          "access-controllers"};
constexpr std::array<std::string_view, 3> kReferenceSuffixes = {"-gpios", "-gpio", "-supply"};

bool IsOneOf(const auto& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

bool HasProperty(const DtNode& node, const std::string& name) {
  if (node.Property(name)) return true;
  const std::vector<DtNode> children = node.children();
  return std::any_of(children.begin(), children.end(),
                     [&](const DtNode& child) { return HasProperty(child, name); });
}

bool IsReference(std::string_view name) {
  return IsOneOf(kReferences, name) ||
         std::any_of(kReferenceSuffixes.begin(), kReferenceSuffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

void AppendCell(std::vector<std::byte>& bytes, std::uint32_t cell) {
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<std::byte>(cell >> shift));
}

std::vector<std::byte> CellBytes(const std::vector<std::uint32_t>& cells) {
  std::vector<std::byte> bytes;
  for (const std::uint32_t cell : cells) AppendCell(bytes, cell);
  return bytes;
}

// Copies one node's properties and children by the rules of the header.
class NodeCopier {
 public:
  NodeCopier(const DeviceFacts& facts, PlannedDevice& device) : facts_(facts), device_(device) {}

  // `is_device`: the passed-through node itself, some of whose properties are written anew.
  PlannedNode Copy(const DtNode& from, bool is_device) {
    PlannedNode to;
    to.name = std::string(from.name());
    for (const DtProperty& property : from.properties())
      CopyProperty(from, property, is_device, to);
    for (const DtNode& child : from.children()) to.children.push_back(Copy(child, false));
    return to;
  }

 private:
  void LeaveOut(const DtNode& node, std::string_view property, std::string_view reason) {
    device_.left_out.push_back(node.path() + ": " + std::string(property) + ": " +
                               std::string(reason));
  }

  void CopyProperty(const DtNode& from, const DtProperty& property, bool is_device,
                    PlannedNode& to) {
    const std::string_view name = property.name;
    if (IsOneOf(facts_.config.drop, name)) {
      LeaveOut(from, name, "dropped by the configuration");
      return;
    }
    if (is_device && name == "clock-names" && IsOneOf(facts_.config.drop, "clocks")) {
      LeaveOut(from, name, "its clocks are dropped by the configuration");
      return;
    }
    if (is_device && (IsOneOf(kRewritten, name) || name == "clocks")) return;
    if (name == "phandle" || name == "linux,phandle" || name == "interrupt-parent") return;
    if (const auto host_only =
            std::find_if(kHostOnly.begin(), kHostOnly.end(),
                         [&](const HostOnly& entry) { return entry.property == name; });
        host_only != kHostOnly.end()) {
      LeaveOut(from, name, host_only->reason);
      return;
    }
    if (name.starts_with("pinctrl-")) {
      LeaveOut(from, name, "the host has set the pins");
      return;
    }
    if (IsReference(name) || (!is_device && (name == "clocks" || name == "interrupts" ||
                                             name == "interrupts-extended"))) {
      throw Error(from.path() + ": the property '" + std::string(name) +
                      "' refers to something the guest does not have",
                  "if the guest's driver can do without it, add to the [[platform]] table of '" +
                      facts_.config.host + "':\ndrop = [\"" + std::string(name) + "\"]");
    }
    to.properties.push_back(
        {std::string(name), {property.value.begin(), property.value.end()}, "host"});
  }

  const DeviceFacts& facts_;
  PlannedDevice& device_;
};

PlannedProperty RegProperty(const PlannedDevice& device) {
  std::vector<std::uint32_t> cells;
  for (const PlannedRegion& region : device.regions) {
    for (const std::uint64_t value : {region.guest.start().value, region.guest.size_bytes()}) {
      cells.push_back(static_cast<std::uint32_t>(value >> 32));
      cells.push_back(static_cast<std::uint32_t>(value));
    }
  }
  return {"reg", CellBytes(cells), "plan"};
}

PlannedProperty InterruptsProperty(const PlannedDevice& device) {
  // bindings/interrupt-controller/arm,gic-v3.yaml: type (0 = SPI), number, flags.
  std::vector<std::uint32_t> cells;
  for (const PlannedInterrupt& interrupt : device.interrupts) {
    const std::uint32_t flags = interrupt.trigger == Trigger::kLevel ? 4 : 1;
    cells.insert(cells.end(), {0, interrupt.spi.number, flags});
  }
  return {"interrupts", CellBytes(cells), "plan"};
}

std::uint64_t ClockRate(const DeviceFacts& facts, std::size_t index) {
  const ClockFacts& clock = facts.clocks[index];
  const std::string name = clock.name.empty() ? std::to_string(index) : clock.name;
  if (const auto given = facts.config.clocks_hz.find(name); given != facts.config.clocks_hz.end()) {
    return given->second;
  }
  if (clock.rate_hz) return *clock.rate_hz;
  throw Error(facts.node_path + ": clocks: the rate of clock '" + name + "' (" + clock.provider +
                  ") is not known",
              "mount -t debugfs none /sys/kernel/debug, or add its rate in Hz to the [[platform]] "
              "table of '" +
                  facts.config.host + "':\nclocks = { " + name + " = 100000000 }");
}

void AddClocks(const DeviceFacts& facts, PlannedDevice& device, std::uint32_t& next_phandle) {
  if (facts.clocks.empty()) return;
  std::vector<std::uint32_t> phandles;
  for (std::size_t index = 0; index < facts.clocks.size(); ++index) {
    const std::uint64_t rate_hz = ClockRate(facts, index);
    if (rate_hz > UINT32_MAX) {
      throw Error(facts.node_path + ": clocks: " + std::to_string(rate_hz) +
                  " Hz is more than a fixed-clock node can say");
    }
    device.clocks.push_back({next_phandle, "clock-" + std::to_string(next_phandle), rate_hz});
    phandles.push_back(next_phandle++);
  }
  device.node.properties.push_back(
      {"clocks", CellBytes(phandles), "fixed clocks at the host's rates"});
}

// A name in the configuration that the node does not have is a slip of the pen.
void CheckOverrides(const DeviceFacts& facts, const DtNode& node) {
  for (const std::string& name : facts.config.drop) {
    if (!HasProperty(node, name)) {
      throw Error(facts.node_path + ": drop: there is no property '" + name + "' in it");
    }
  }
  for (const auto& clock_rate : facts.config.clocks_hz) {
    const std::string& name = clock_rate.first;
    const bool known =
        std::any_of(facts.clocks.begin(), facts.clocks.end(), [&](const auto& clock) {
          const auto index = static_cast<std::size_t>(&clock - facts.clocks.data());
          return name == (clock.name.empty() ? std::to_string(index) : clock.name);
        });
    if (!known) throw Error(facts.node_path + ": clocks: it has no clock '" + name + "'");
  }
}

}  // namespace

void MakeDeviceNode(const DeviceFacts& facts, PlannedDevice& device, std::uint32_t& next_phandle) {
  const auto host = facts.tree->Find(facts.node_path);
  if (!host) throw Error("the host's device tree has no node " + facts.node_path);
  CheckOverrides(facts, *host);
  const std::string_view name = host->name().substr(0, host->name().find('@'));
  device.node = NodeCopier(facts, device).Copy(*host, true);
  if (device.regions.empty()) {
    device.node.name = std::string(name);
  } else {
    const std::string unit = Hex(device.regions.front().guest.start().value).substr(2);
    device.node.name = std::string(name) + "@" + unit;
    device.node.properties.push_back(RegProperty(device));
  }
  if (!device.interrupts.empty()) device.node.properties.push_back(InterruptsProperty(device));
  if (!IsOneOf(facts.config.drop, "clocks")) AddClocks(facts, device, next_phandle);
}

std::vector<std::optional<Trigger>> HostTriggers(const DeviceTree& tree, const DtNode& node) {
  // bindings/interrupt-controller/arm,gic*.yaml: the low four bits of the third cell are 1 or 2
  // for an edge, 4 or 8 for a level.
  const auto trigger_of =
      [](const DtNode& controller,
         const std::vector<std::uint32_t>& specifier) -> std::optional<Trigger> {
    const bool is_gic = controller.IsCompatible("arm,gic-v3") ||
                        controller.IsCompatible("arm,gic-400") ||
                        controller.IsCompatible("arm,cortex-a15-gic") ||
                        controller.IsCompatible("arm,cortex-a9-gic");
    if (!is_gic || specifier.size() < 3 || (specifier[2] & 0xf) == 0) return std::nullopt;
    return (specifier[2] & 0x3) != 0 ? Trigger::kEdge : Trigger::kLevel;
  };
  std::vector<std::optional<Trigger>> triggers;
  if (node.Property("interrupts-extended")) {
    for (const auto& entry :
         ReadReferences(tree, node, "interrupts-extended", "#interrupt-cells")) {
      triggers.push_back(entry ? trigger_of(entry->target, entry->arguments) : std::nullopt);
    }
    return triggers;
  }
  const auto property = node.Property("interrupts");
  const auto controller = InterruptParent(tree, node);
  if (!property || !controller) return triggers;
  const auto cells = property->Cells();
  const std::uint32_t count = controller->Cell("#interrupt-cells").value_or(0);
  if (!cells || count == 0) return triggers;
  for (std::size_t at = 0; at + count <= cells->size(); at += count) {
    const auto first = cells->begin() + static_cast<std::ptrdiff_t>(at);
    triggers.push_back(trigger_of(*controller, {first, first + count}));
  }
  return triggers;
}

}  // namespace microvm
