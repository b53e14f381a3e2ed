// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/device_command.h"

#include <algorithm>
#include <cstdio>

#include "vmm/cli/run_command.h"
#include "vmm/host/error.h"
#include "vmm/passthrough/host_clocks.h"
#include "vmm/passthrough/passthrough.h"
#include "vmm/plan/device_node.h"

namespace microvm {
namespace {

std::string GroupText(const HostDevice& device) {
  if (!device.iommu_group) return "-";
  return std::to_string(*device.iommu_group) + (device.no_iommu ? " (no IOMMU)" : "");
}

void List(const HostSysfs& sysfs) {
  std::printf("%-28s %-20s %-14s %s\n", "DEVICE", "DRIVER", "IOMMU GROUP", "COMPATIBLE");
  for (const HostDevice& device : sysfs.All()) {
    std::printf("%-28s %-20s %-14s %s\n", device.name.c_str(),
                device.driver.empty() ? "-" : device.driver.c_str(), GroupText(device).c_str(),
                device.compatible.empty() ? "-" : device.compatible.front().c_str());
  }
}

void PrintInterrupts(const DeviceTree& tree, const DtNode& node) {
  std::size_t index = 0;
  for (const auto& trigger : HostTriggers(tree, node)) {
    const char* text = !trigger                      ? "unknown trigger"
                       : *trigger == Trigger::kLevel ? "level"
                                                     : "edge";
    std::printf("interrupt %zu: %s\n", index++, text);
  }
}

void PrintClocks(const DeviceTree& tree, const DtNode& node, const HostSysfs& sysfs) {
  for (const ClockFacts& clock : ReadClocks(tree, node, sysfs.root())) {
    std::printf("clock %s from %s: %s\n", clock.name.c_str(), clock.provider.c_str(),
                clock.rate_hz ? (std::to_string(*clock.rate_hz) + " Hz").c_str()
                              : "rate not known; give it with clocks = { ... }");
  }
}

// Whether the guest's node can be made: the rules are asked, with no regions or interrupts.
void PrintVerdict(const HostDevice& device, const std::shared_ptr<const DeviceTree>& tree,
                  const HostSysfs& sysfs) {
  DeviceFacts facts;
  facts.config.host = device.name;
  // Before the first driver has the device, Linux has made no group for it.
  const bool behind_iommu =
      device.iommu_group ? !device.no_iommu
                         : tree->Find(*device.device_tree_path)->Property("iommus").has_value();
  facts.config.dma = behind_iommu ? DmaMode::kIommu : DmaMode::kNone;
  facts.tree = tree;
  facts.node_path = *device.device_tree_path;
  facts.clocks = ReadClocks(*tree, *tree->Find(facts.node_path), sysfs.root());
  PlannedDevice planned{};
  auto phandle = static_cast<std::uint32_t>(Phandle::kFirstFree);
  try {
    MakeDeviceNode(facts, planned, phandle);
  } catch (const std::exception& error) {
    std::printf("verdict: refused\n%s", FormatChain(error).c_str());
    return;
  }
  for (const std::string& line : planned.left_out) std::printf("left out: %s\n", line.c_str());
  std::printf("verdict: %s\n[[platform]]\nhost = \"%s\"\ndma = \"%s\"\n",
              device.bound_to_vfio() ? "ready" : "can be passed through once it is bound",
              device.name.c_str(), std::string(ToString(facts.config.dma)).c_str());
  if (!device.bound_to_vfio()) std::printf("# microvm device bind %s\n", device.name.c_str());
}

void Inspect(const HostSysfs& sysfs, const std::string& name) {
  const HostDevice device = sysfs.Find(name);
  std::printf("device: %s\ndriver: %s\nIOMMU group: %s\n", device.name.c_str(),
              device.driver.empty() ? "-" : device.driver.c_str(), GroupText(device).c_str());
  for (const std::string& compatible : device.compatible) {
    std::printf("compatible: %s\n", compatible.c_str());
  }
  if (!device.device_tree_path) {
    std::printf("verdict: refused\nit has no node in a device tree\n");
    return;
  }
  const auto tree = ReadHostTree(sysfs, *device.device_tree_path);
  const auto node = tree->Find(*device.device_tree_path);
  if (!node) throw Error("the host's device tree has no node " + *device.device_tree_path);
  std::printf("node: %s\n", device.device_tree_path->c_str());
  PrintInterrupts(*tree, *node);
  PrintClocks(*tree, *node, sysfs);
  PrintVerdict(device, tree, sysfs);
}

std::vector<std::string> DeviceNames(const CommandLine& line) {
  if (line.config.empty()) return line.devices;
  std::vector<std::string> names;
  const VmConfig config = ReadVmConfig(line.config);
  for (const PlatformConfig& platform : config.platform) names.push_back(platform.host);
  return names;
}

// The kernel would let the unbinding wait for the device's user to go.
void RefuseIfInUse(const HostSysfs& sysfs, const HostDevice& device) {
  if (!device.bound_to_vfio()) return;
  const std::vector<std::string> users = sysfs.Users(device);
  if (users.empty()) return;
  throw Error("'" + device.name + "' is in use by process " + users.front(),
              "stop that process first");
}

// All or nothing: when one cannot be bound, those bound before it are given back.
void BindAll(const HostSysfs& sysfs, const std::vector<HostDevice>& devices) {
  std::vector<HostDevice> bound;
  try {
    for (const HostDevice& device : devices) {
      if (device.bound_to_vfio()) continue;
      sysfs.BindToVfio(device);
      bound.push_back(device);
    }
  } catch (...) {
    for (const HostDevice& device : bound) sysfs.GiveBack(device.bus, device.name);
    throw;
  }
}

}  // namespace

int RunDeviceCommand(const CommandLine& line, const HostSysfs& sysfs) {
  switch (line.command) {
    case Command::kDeviceList:
      List(sysfs);
      return 0;
    case Command::kDeviceInspect:
      Inspect(sysfs, line.devices.front());
      return 0;
    default:
      break;
  }
  // All names first: one that is misspelt leaves the others as they are.
  std::vector<HostDevice> devices;
  for (const std::string& name : DeviceNames(line)) {
    const bool twice = std::any_of(devices.begin(), devices.end(),
                                   [&](const HostDevice& device) { return device.name == name; });
    if (!twice) devices.push_back(sysfs.Find(name));
  }
  if (line.command == Command::kDeviceBind) {
    BindAll(sysfs, devices);
  } else {
    for (const HostDevice& device : devices) RefuseIfInUse(sysfs, device);
    for (const HostDevice& device : devices) sysfs.UnbindFromVfio(device);
  }
  return 0;
}

}  // namespace microvm
