// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/plan/device_node.h"
#include "vmm/plan/vm_plan.h"

namespace microvm::fakes {

// What MakePlan takes, filled with a plain guest; tests change what they are about.
struct PlanInput {
  VmConfig config;
  std::vector<DeviceFacts> devices;
  BootFacts boot;
  HostLimits limits;
  PlatformLayout layout;

  PlanInput();
  [[nodiscard]] VmPlan Make() const { return MakePlan(config, devices, boot, limits, layout); }
};

// A tree of tests/data.
std::shared_ptr<const DeviceTree> SharedTree(const std::string& name);

// Facts of a node of a tree: no regions, interrupts or clocks.
DeviceFacts FactsOf(const std::shared_ptr<const DeviceTree>& tree, const std::string& node);

// A device with `facts` whose node is made by the rules alone, phandles from kFirstPhandle.
constexpr std::uint32_t kFirstPhandle = 3;
PlannedDevice MadeAlone(const DeviceFacts& facts, PlannedDevice device = {},
                        const PassedNodes& passed = {});

// A property of a planned node, and its cells; nothing if the node does not have it.
const PlannedProperty* FindProperty(const PlannedNode& node, std::string_view name);
std::vector<std::uint32_t> CellsOf(const PlannedNode& node, std::string_view name);

// The CAN controller of board.dts as VFIO shows it: one mapped region, one level interrupt.
DeviceFacts CanFacts();
// Its MAC: a mapped region, a level that is listed twice and that the kernel gives only once.
DeviceFacts MacFacts();
// Its timer: a trapped region and a mapped one, an edge and a level.
DeviceFacts TimerFacts();

}  // namespace microvm::fakes
