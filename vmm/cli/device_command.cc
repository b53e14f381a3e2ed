// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/device_command.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "vmm/cli/run_command.h"
#include "vmm/host/device_use.h"
#include "vmm/host/error.h"
#include "vmm/host/file.h"
#include "vmm/host/open_files.h"
#include "vmm/inspect/format.h"
#include "vmm/inspect/inspect.h"
#include "vmm/inspect/live_facts.h"
#include "vmm/passthrough/host_clocks.h"
#include "vmm/passthrough/passthrough.h"

namespace microvm {
namespace {

// A folder that cannot be: no clock's rate is read from this machine for another one's tree.
constexpr const char* kNoHost = "/dev/null";

// Inspects devices of a running host. The tree is read and indexed once.
class LiveInspector {
 public:
  explicit LiveInspector(const HostSysfs& sysfs)
      : sysfs_(sysfs), files_(sysfs.root()), driver_rates_(ReadDriverRates(sysfs.root())) {}

  Inspection Of(const HostDevice& device) {
    InspectInput input;
    if (!device.device_tree_path) return WithoutNode(device);
    if (!index_ || !index_->tree().Find(*device.device_tree_path)) {
      index_ = std::make_unique<HostIndex>(ReadHostTree(sysfs_, *device.device_tree_path));
      idle_nodes_ = IdleNodes(sysfs_, index_->tree());
    }
    const auto node = index_->tree().Find(*device.device_tree_path);
    if (!node) throw Error("the host's device tree has no node " + *device.device_tree_path);
    const bool mapped = device.iommu_group && !device.no_iommu;
    input.live = ReadLiveFacts(sysfs_, files_, device, mapped ? DmaMode::kIommu : DmaMode::kNone);
    input.live->idle_nodes = idle_nodes_;
    input.clocks = ReadSoundClocks(index_->tree(), *node, sysfs_.root());
    input.clocks_below = ReadClocksBelow(index_->tree(), *node, sysfs_.root());
    const auto rates = driver_rates_.find(device.name);
    if (rates != driver_rates_.end()) input.driver_rates = rates->second;
    return Inspect(*index_, *node, input);
  }

 private:
  [[nodiscard]] Inspection WithoutNode(const HostDevice& device) const {
    Inspection inspection;
    inspection.device = device.name;
    inspection.live = ReadLiveFacts(sysfs_, files_, device, DmaMode::kNone);
    inspection.verdict = Verdict::kRefused;
    inspection.reasons.push_back({Verdict::kRefused, "it has no node in a device tree"});
    return inspection;
  }

  const HostSysfs& sysfs_;
  OpenFiles files_;
  DriverRates driver_rates_;
  std::unique_ptr<HostIndex> index_;
  std::set<std::string> idle_nodes_;
};

// Every device asked about, in its order: the host's, or nodes of a file's tree.
std::vector<Inspection> InspectAll(const CommandLine& line, const HostSysfs& sysfs) {
  std::vector<Inspection> inspections;
  if (line.tree.empty()) {
    LiveInspector inspector(sysfs);
    if (!line.devices.empty()) return {inspector.Of(sysfs.Find(line.devices.front()))};
    for (const HostDevice& device : sysfs.All()) inspections.push_back(inspector.Of(device));
    return inspections;
  }
  const Error context("cannot inspect " + line.tree,
                      "give --tree a .dtb, as dtc or Linux's build makes them, or a host's "
                      "/sys/firmware/fdt");
  const HostIndex index = WithContext(
      context, [&] { return HostIndex(std::make_shared<const DeviceTree>(ReadFile(line.tree))); });
  const auto inspect = [&](const DtNode& node) {
    const InspectInput input{std::nullopt, ReadSoundClocks(index.tree(), node, kNoHost),
                             ReadClocksBelow(index.tree(), node, kNoHost)};
    inspections.push_back(Inspect(index, node, input));
  };
  if (!line.devices.empty()) {
    inspect(FindNode(index, line.devices.front()));
    return inspections;
  }
  for (const DtNode& node : index.tree().AllNodes()) {
    if (node.Property("reg")) inspect(node);
  }
  return inspections;
}

void PrintJson(const std::vector<Inspection>& inspections, bool array) {
  std::string out = array ? "[" : "";
  for (const Inspection& inspection : inspections) {
    if (out.size() > 1) out += ",\n";
    out += FormatJson(inspection);
  }
  std::puts((out + (array ? "]" : "")).c_str());
}

void List(const CommandLine& line, const HostSysfs& sysfs) {
  const std::vector<Inspection> inspections = InspectAll(line, sysfs);
  if (line.json) return PrintJson(inspections, true);
  std::fputs(FormatRowTitles(line.tree.empty()).c_str(), stdout);
  for (const Inspection& inspection : inspections) {
    std::fputs(FormatRow(inspection).c_str(), stdout);
  }
}

void InspectCommand(const CommandLine& line, const HostSysfs& sysfs) {
  const std::vector<Inspection> inspections = InspectAll(line, sysfs);
  if (line.json) return PrintJson(inspections, line.devices.empty());
  const char* separator = "";
  for (const Inspection& inspection : inspections) {
    std::fputs((separator + FormatText(inspection)).c_str(), stdout);
    separator = "\n";
  }
}

std::vector<std::string> DeviceNames(const CommandLine& line) {
  if (line.config.empty()) return line.devices;
  std::vector<std::string> names;
  const VmConfig config = ReadVmConfig(line.config);
  for (const PlatformConfig& platform : config.platform) names.push_back(platform.host);
  return names;
}

// Of VFIO's driver the kernel would let the unbinding wait for the user to go, force or not.
void RefuseGuestsDevice(const HostSysfs& sysfs, const HostDevice& device) {
  if (!device.bound_to_vfio()) return;
  const std::vector<std::string> users = sysfs.Users(device);
  if (users.empty()) return;
  throw Error("'" + device.name + "' is in use by process " + users.front(),
              "stop that process first");
}

void CheckAllUnused(const HostSysfs& sysfs, const std::vector<HostDevice>& devices) {
  const OpenFiles files(sysfs.root());
  for (const HostDevice& device : devices) CheckUnused(sysfs, files, device);
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
    for (const HostDevice& device : bound) sysfs.GiveBack(device);
    throw;
  }
}

}  // namespace

int RunDeviceCommand(const CommandLine& line, const HostSysfs& sysfs) {
  if (line.command == Command::kDeviceList) {
    List(line, sysfs);
    return 0;
  }
  if (line.command == Command::kDeviceInspect) {
    InspectCommand(line, sysfs);
    return 0;
  }
  // All names first: one that is misspelt leaves the others as they are.
  std::vector<HostDevice> devices;
  for (const std::string& name : DeviceNames(line)) {
    const bool twice = std::any_of(devices.begin(), devices.end(),
                                   [&](const HostDevice& device) { return device.name == name; });
    if (!twice) devices.push_back(sysfs.Find(name));
  }
  const bool bind = line.command == Command::kDeviceBind;
  if (bind) {
    // What the host does with one would end in the middle.
    if (!line.force) CheckAllUnused(sysfs, devices);
    BindAll(sysfs, devices);
    return 0;
  }
  for (const HostDevice& device : devices) RefuseGuestsDevice(sysfs, device);
  for (const HostDevice& device : devices) sysfs.UnbindFromVfio(device);
  return 0;
}

}  // namespace microvm
