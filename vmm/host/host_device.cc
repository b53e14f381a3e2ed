// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/host_device.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "vmm/host/error.h"
#include "vmm/host/file.h"
#include "vmm/host/open_files.h"
#include "vmm/host/parse_number.h"

namespace microvm {
namespace {

namespace fs = std::filesystem;

constexpr std::array kBuses = {HostBus::kPlatform, HostBus::kAmba};

// What a symbolic link says; "" if there is none.
std::string LinkText(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error).string();
}

// The last component of that.
std::string LinkTarget(const fs::path& link) {
  const std::string text = LinkText(link);
  return text.substr(text.rfind('/') + 1);
}

// The path in the device tree of the node of a device's folder; nothing if it has none.
std::optional<std::string> NodePath(const fs::path& device) {
  constexpr std::string_view kBase = "/devicetree/base";
  const std::string node = LinkText(device / "of_node");
  const std::size_t at = node.find(kBase);
  if (at == std::string::npos) return std::nullopt;
  return node.substr(at + kBase.size());
}

// Whether `name` is the path of a node, or the node's own name, "canfd@ff070000".
bool IsNode(const std::optional<std::string>& path, const std::string& name) {
  return path && (*path == name || path->substr(path->rfind('/') + 1) == name);
}

// A device's address or kind, the parts of "ff070000.canfd" by which a misspelt name is found.
bool LooksSimilar(const std::string& name, const std::string& other) {
  const std::string suffix = name.substr(std::min(name.find('.'), name.size()));
  const std::string prefix = name.substr(0, name.find('.'));
  return (suffix.size() > 1 && other.ends_with(suffix)) ||
         (!prefix.empty() && other.starts_with(prefix));
}

// Drivers with `driver_managed_dma` do not claim a group's DMA for the host: all of VFIO's, and two
// of PCI (drivers/pci of Linux 6.12).
bool LeavesDmaAlone(std::string_view driver) {
  return driver.find("vfio") != std::string_view::npos || driver == "pcieport" ||
         driver == "pci-stub";
}

// The command that takes a device from its driver.
std::string ReleaseOf(const std::string& name, const std::string& bus, const std::string& driver) {
  if (bus == "platform" || bus == "amba") return "microvm device bind " + name;
  return "echo " + name + " > /sys/bus/" + bus + "/drivers/" + driver + "/unbind";
}

const char* BindRemedy(int error) {
  switch (error) {
    case ENOENT:
      return "the kernel has no reset for this device and insists on one; allow it without, on the "
             "kernel's command line: vfio-platform.reset_required=0\n"
             "or, if VFIO is a module: modprobe vfio-platform reset_required=0";
    case EINVAL:
      return "the device has no IOMMU, or one that VFIO does not accept; see: dmesg | tail\n"
             "for a device that does no DMA: vfio.enable_unsafe_noiommu_mode=1 on the kernel's "
             "command line (taints the kernel)";
    default:
      return "run as root; see: dmesg | tail";
  }
}

}  // namespace

bool HostDevice::bound_to_vfio() const { return driver == VfioDriver(bus); }

std::string_view VfioDriver(HostBus bus) {
  return bus == HostBus::kPlatform ? "vfio-platform" : "vfio-amba";
}

fs::path HostSysfs::BusPath(HostBus bus) const {
  return root_ / "sys/bus" / (bus == HostBus::kPlatform ? "platform" : "amba");
}

fs::path HostSysfs::DevicePath(const HostDevice& device) const {
  return BusPath(device.bus) / "devices" / device.name;
}

HostDevice HostSysfs::Read(HostBus bus, const std::string& name) const {
  const fs::path path = BusPath(bus) / "devices" / name;
  HostDevice device;
  device.name = name;
  device.bus = bus;
  device.driver = LinkTarget(path / "driver");
  // drivers/base/bus.c: not with suppress_bind_attrs.
  std::error_code error;
  device.driver_lets_go = device.driver.empty() || fs::exists(path / "driver/unbind", error);
  device.driver_override = ReadAttribute(path / "driver_override");
  device.iommu_group = ParseNumber<unsigned>(LinkTarget(path / "iommu_group"));
  // drivers/vfio/group.c names the groups it makes for devices without an IOMMU.
  device.no_iommu = ReadAttribute(path / "iommu_group/name") == "vfio-noiommu";
  for (const std::string& vfio : NamesIn(path / "vfio-dev")) {
    // Without the number it is a device of VFIO's, but none that can be opened.
    if (!ReadAttribute(path / "vfio-dev" / vfio / "dev").empty()) device.vfio_device = vfio;
  }
  device.device_tree_path = NodePath(path);
  return device;
}

bool HostSysfs::HasDevice(HostBus bus, const std::string& name) const {
  // A name, and no path to somewhere else.
  if (name.find_first_not_of('.') == std::string::npos ||
      name.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
    return false;
  }
  std::error_code error;
  return fs::exists(BusPath(bus) / "devices" / name, error);
}

HostDevice HostSysfs::Find(const std::string& name) const {
  // Hosts have hundreds of devices: they are gone through only for a name that none of them has.
  for (const HostBus bus : kBuses) {
    if (HasDevice(bus, name)) return Read(bus, name);
  }
  const std::string similar = SimilarTo(name);
  throw Error("no device '" + name + "' under /sys/bus/platform/devices",
              similar.empty() ? "list the host's devices: microvm device list"
                              : "did you mean one of these?" + similar);
}

std::string HostSysfs::SimilarTo(const std::string& name) const {
  constexpr unsigned kMostSimilar = 8;
  std::string similar;
  unsigned count = 0;
  for (const HostBus bus : kBuses) {
    const fs::path devices = BusPath(bus) / "devices";
    for (const std::string& candidate : NamesIn(devices)) {
      if (!LooksSimilar(name, candidate) && !IsNode(NodePath(devices / candidate), name)) continue;
      if (++count <= kMostSimilar) similar += "\n  " + candidate;
    }
  }
  if (count > kMostSimilar) similar += "\n  and " + std::to_string(count - kMostSimilar) + " more";
  return similar;
}

std::vector<HostDevice> HostSysfs::All() const {
  std::vector<HostDevice> devices;
  for (const HostBus bus : kBuses) {
    for (const std::string& name : NamesIn(BusPath(bus) / "devices")) {
      devices.push_back(Read(bus, name));
    }
  }
  std::sort(devices.begin(), devices.end(),
            [](const HostDevice& a, const HostDevice& b) { return a.name < b.name; });
  return devices;
}

std::string HostSysfs::GroupPath(const HostDevice& device) const {
  const fs::path folder = root_ / "dev/vfio";
  const std::string number = std::to_string(device.iommu_group.value_or(0));
  return (folder / (device.no_iommu ? "noiommu-" + number : number)).string();
}

std::string HostSysfs::CdevPath(const HostDevice& device) const {
  return (root_ / "dev/vfio/devices" / device.vfio_device).string();
}

std::string HostSysfs::CdevNumber(const HostDevice& device) const {
  if (device.vfio_device.empty()) return {};
  return ReadAttribute(DevicePath(device) / "vfio-dev" / device.vfio_device / "dev");
}

std::vector<std::string> HostSysfs::Users(const HostDevice& device) const {
  const OpenFiles files(root_);
  std::vector<std::string> users;
  if (device.iommu_group) users = files.ProcessesWith(GroupPath(device));
  if (!device.vfio_device.empty()) {
    for (std::string& user : files.ProcessesWith(CdevPath(device)))
      users.push_back(std::move(user));
  }
  return users;
}

std::vector<std::string> HostSysfs::OthersInGroup(const HostDevice& device) const {
  std::vector<std::string> names = NamesIn(DevicePath(device) / "iommu_group/devices");
  std::erase(names, device.name);
  return names;
}

std::vector<GroupHolder> HostSysfs::HeldInGroup(const HostDevice& device) const {
  std::vector<GroupHolder> holders;
  const fs::path group = DevicePath(device) / "iommu_group/devices";
  for (const std::string& name : OthersInGroup(device)) {
    const std::string driver = LinkTarget(group / name / "driver");
    if (driver.empty() || LeavesDmaAlone(driver)) continue;
    holders.push_back(
        {name, driver, ReleaseOf(name, LinkTarget(group / name / "subsystem"), driver)});
  }
  return holders;
}

bool HostSysfs::HasVfioDriver(HostBus bus) const {
  std::error_code error;
  return fs::exists(BusPath(bus) / "drivers" / VfioDriver(bus), error);
}

std::optional<bool> HostSysfs::ModuleFlag(const std::string& module,
                                          const std::string& parameter) const {
  const std::string text = ReadAttribute(root_ / "sys/module" / module / "parameters" / parameter);
  if (text.empty()) return std::nullopt;
  return text == "Y" || text == "1";
}

void CheckLetsGo(const HostDevice& device) {
  if (device.driver_lets_go) return;
  throw Error("the host's driver '" + device.driver + "' never lets go of '" + device.name + "'",
              "boot the host without that driver");
}

void HostSysfs::BindToVfio(const HostDevice& device) const {
  if (device.bound_to_vfio()) return;
  const std::string driver(VfioDriver(device.bus));
  const fs::path driver_path = BusPath(device.bus) / "drivers" / driver;
  if (!HasVfioDriver(device.bus)) {
    throw Error(
        "the host has no " + driver + " driver",
        "modprobe " + driver + ", or a kernel with " +
            (device.bus == HostBus::kPlatform ? "CONFIG_VFIO_PLATFORM" : "CONFIG_VFIO_AMBA"));
  }
  if (!device.device_tree_path) {
    throw Error("'" + device.name + "' has no node in a device tree, by which VFIO would know it");
  }
  CheckLetsGo(device);
  const fs::path path = DevicePath(device);
  try {
    WriteAttribute((path / "driver_override").string(), driver);
    if (!device.driver.empty()) WriteAttribute((path / "driver/unbind").string(), device.name);
    WriteAttribute((driver_path / "bind").string(), device.name);
  } catch (const std::exception& error) {
    GiveBack(device);
    std::throw_with_nested(
        Error("cannot bind '" + device.name + "' to " + driver, BindRemedy(ErrnoOf(error))));
  }
}

void HostSysfs::GiveBack(const HostDevice& before) const noexcept {
  const std::string& name = before.name;
  try {
    const fs::path path = DevicePath(before);
    WriteAttribute((path / "driver_override").string(),
                   before.driver_override.empty() ? "\n" : before.driver_override);
    if (Read(before.bus, name).bound_to_vfio()) {
      WriteAttribute((path / "driver/unbind").string(), name);
    }
    if (!before.driver.empty()) {
      WriteAttribute((BusPath(before.bus) / "drivers_probe").string(), name);
    }
  } catch (const std::exception& error) {
    // The first failure is the one to report; without permission this one is bound to follow.
    if (ErrnoOf(error) == EACCES) return;
    std::fprintf(stderr, "microvm: cannot give back '%s'\n%s", name.c_str(),
                 FormatChain(error).c_str());
  }
}

void HostSysfs::UnbindFromVfio(const HostDevice& device) const {
  const fs::path path = DevicePath(device);
  WriteAttribute((path / "driver_override").string(), "\n");
  if (device.bound_to_vfio()) WriteAttribute((path / "driver/unbind").string(), device.name);
  // Lets the driver that matches the device take it; none may exist.
  WriteAttribute((BusPath(device.bus) / "drivers_probe").string(), device.name);
}

std::string ByProcesses(const std::vector<std::string>& processes) {
  std::string text = processes.empty() ? "" : " by process";
  for (const std::string& process : processes) text += "\n  " + process;
  return text;
}

}  // namespace microvm
