// SPDX-License-Identifier: Apache-2.0
#include "tests/plan/plan_input.h"

#include <algorithm>

#include "arch/arm64/layout.h"
#include "tests/fakes/host_tree.h"
#include "vmm/passthrough/host_clocks.h"

namespace microvm::fakes {

PlanInput::PlanInput()
    : boot{.kernel_file_bytes = 0x100'0000,
           .kernel_compressed = false,
           .text_offset = 0,
           .kernel_memory_bytes = 0x110'0000,
           .initrd_bytes = 0},
      limits{.ipa_bits = 40, .max_vcpus = 8, .pmu = true, .sve = true, .pauth = true},
      layout(Arm64Layout()) {
  config.name = "sample";
  config.memory.size_bytes = 128U << 20;
  config.boot.kernel = "/guest/Image";
  config.boot.cmdline = "console=ttyAMA0";
}

std::shared_ptr<const DeviceTree> SharedTree(const std::string& name) {
  return std::make_shared<const DeviceTree>(TreeBlob(name));
}

DeviceFacts FactsOf(const std::shared_ptr<const DeviceTree>& tree, const std::string& node) {
  DeviceFacts facts;
  facts.config.host = "0.device";
  facts.config.dma = DmaMode::kNone;
  facts.tree = tree;
  facts.node_path = node;
  return facts;
}

PlannedDevice MadeAlone(const DeviceFacts& facts, PlannedDevice device, const PassedNodes& passed) {
  std::uint32_t phandle = kFirstPhandle;
  MakeDeviceNode(facts, device, phandle, passed);
  return device;
}

const PlannedProperty* FindProperty(const PlannedNode& node, std::string_view name) {
  const auto found =
      std::find_if(node.properties.begin(), node.properties.end(),
                   [&](const PlannedProperty& property) { return property.name == name; });
  return found == node.properties.end() ? nullptr : &*found;
}

std::vector<std::uint32_t> CellsOf(const PlannedNode& node, std::string_view name) {
  const PlannedProperty* property = FindProperty(node, name);
  if (property == nullptr) return {};
  return DtProperty{name, property->value}.Cells().value();
}

DeviceFacts CanFacts() {
  const auto tree = SharedTree("board");
  DeviceFacts facts = FactsOf(tree, "/axi/canfd@ff070000");
  facts.config.host = "ff070000.canfd";
  facts.regions = {{0x6000, true}};
  facts.interrupts = {{true}};
  facts.clocks = ReadClocks(*tree, *tree->Find(facts.node_path), "/nonexistent");
  return facts;
}

DeviceFacts MacFacts() {
  DeviceFacts facts = FactsOf(SharedTree("board"), "/axi/mac@ff140000");
  facts.config.host = "ff140000.mac";
  facts.regions = {{0x1000, true}};
  facts.interrupts = {{true}, {true, true, "vfio-irq[14](ff140000.mac)"}};
  return facts;
}

DeviceFacts TimerFacts() {
  DeviceFacts facts = FactsOf(SharedTree("board"), "/axi/timer@ff120000");
  facts.config.host = "ff120000.timer";
  facts.config.dma = DmaMode::kIommu;
  facts.regions = {{0x100, false}, {0x1000, true}};
  facts.interrupts = {{false}, {true}};
  return facts;
}

}  // namespace microvm::fakes
