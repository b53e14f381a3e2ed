// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/live_facts.h"

#include <algorithm>
#include <cstdint>
#include <map>

#include "vmm/host/device_use.h"
#include "vmm/host/error.h"
#include "vmm/host/interrupt_counts.h"
#include "vmm/inspect/host_index.h"
#include "vmm/passthrough/passthrough.h"
#include "vmm/plan/host_interrupts.h"

namespace microvm {
namespace {

using UsersOfLines = std::map<std::uint32_t, std::string>;

// A line of a controller below the GIC is in nobody's list.
bool HasUsedLine(const DeviceTree& tree, const DtNode& node, const UsersOfLines& users) {
  try {
    const std::vector<InterruptLine> lines = HostInterrupts(tree, node);
    return std::any_of(lines.begin(), lines.end(), [&](const InterruptLine& line) {
      return !line.controller.empty() && (!line.intid || users.contains(*line.intid));
    });
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

LiveFacts ReadLiveFacts(const HostSysfs& sysfs, const OpenFiles& files, const HostDevice& device,
                        DmaMode dma) {
  LiveFacts facts;
  facts.name = device.name;
  facts.driver = device.driver;
  facts.bound_to_vfio = device.bound_to_vfio();
  facts.iommu_group = device.iommu_group;
  facts.no_iommu = device.no_iommu;
  facts.group_members = sysfs.OthersInGroup(device);
  for (const GroupHolder& holder : sysfs.HeldInGroup(device)) {
    facts.group_holders.push_back(holder.driver + ": " + holder.release);
  }
  facts.vfio_driver = sysfs.HasVfioDriver(device.bus);
  facts.no_iommu_mode = sysfs.ModuleFlag("vfio", "enable_unsafe_noiommu_mode");
  // A device goes by iommufd, or, if that may not take it, by its group: either flag will do.
  const auto type1 = sysfs.ModuleFlag("vfio_iommu_type1", "allow_unsafe_interrupts");
  const auto iommufd = sysfs.ModuleFlag("iommufd", "allow_unsafe_interrupts");
  facts.unsafe_interrupts = type1.value_or(false) ? type1 : iommufd ? iommufd : type1;
  if (iommufd && !type1) facts.unsafe_interrupts_module = "iommufd";
  facts.reset_required = sysfs.ModuleFlag("vfio_platform", "reset_required");
  try {
    CheckReady(device, dma);
  } catch (const Error& error) {
    facts.not_ready = error.what();
    facts.not_ready_fix = error.remedy();
  }
  // As a start would say; it takes a look at every process.
  if (facts.not_ready.empty()) {
    if (const std::vector<std::string> users = sysfs.Users(device); !users.empty()) {
      facts.not_ready = "its IOMMU group is already in use" + ByProcesses(users);
      facts.not_ready_fix = "stop the process that has it";
    }
  }
  try {
    CheckLetsGo(device);
    CheckUnused(sysfs, files, device);
  } catch (const Error& error) {
    facts.in_use = error.what();
    facts.in_use_fix = error.remedy();
  }
  return facts;
}

std::set<std::string> IdleNodes(const HostSysfs& sysfs, const DeviceTree& tree) {
  std::set<std::string> idle;
  const UsersOfLines users = LineUsers(sysfs);
  for (const HostDevice& device : sysfs.All()) {
    if (!device.device_tree_path || (!device.driver.empty() && !device.bound_to_vfio())) continue;
    const auto node = tree.Find(*device.device_tree_path);
    if (node && IsDriven(*node) && !HasUsedLine(tree, *node, users)) idle.insert(node->path());
  }
  return idle;
}

}  // namespace microvm
