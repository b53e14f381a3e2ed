// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace microvm {

// The two buses of memory-mapped devices: what differs is their VFIO driver.
enum class HostBus { kPlatform, kAmba };

// What sysfs says of a device of the host, read once
// (Documentation/ABI/testing/sysfs-bus-platform).
struct HostDevice {
  std::string name;
  HostBus bus = HostBus::kPlatform;
  std::string driver;                           // "" if none is bound
  bool driver_lets_go = true;                   // whether it can be unbound
  std::string driver_override;                  // "" if none is set
  std::optional<unsigned> iommu_group;          // nothing: no group, not even a no-IOMMU one
  bool no_iommu = false;                        // the group is VFIO's stand-in for a missing IOMMU
  std::string vfio_device;                      // "vfio0": of its character device; "": none
  std::optional<std::string> device_tree_path;  // of its node; nothing on hosts without a tree

  [[nodiscard]] bool bound_to_vfio() const;
};

// Throws Error if the driver that the device is bound to cannot be unbound.
void CheckLetsGo(const HostDevice& device);

// "vfio-platform" or "vfio-amba".
std::string_view VfioDriver(HostBus bus);

// A device whose driver keeps VFIO from the IOMMU group that it is in.
struct GroupHolder {
  std::string device;
  std::string driver;
  std::string release;  // the command that ends it
};

// The host's sysfs below a root folder: "/" in production, a folder with a fake one in tests.
class HostSysfs {
 public:
  explicit HostSysfs(std::filesystem::path root) : root_(std::move(root)) {}

  // Throws Error, with the names that look similar, or whose node is called so, if there is no such
  // device.
  [[nodiscard]] HostDevice Find(const std::string& name) const;
  [[nodiscard]] bool HasDevice(HostBus bus, const std::string& name) const;
  // Every device of both buses, sorted by name.
  [[nodiscard]] std::vector<HostDevice> All() const;

  // The character device of an IOMMU group: /dev/vfio/7 or /dev/vfio/noiommu-7.
  [[nodiscard]] std::string GroupPath(const HostDevice& device) const;
  // The device's own character device: /dev/vfio/devices/vfio0.
  [[nodiscard]] std::string CdevPath(const HostDevice& device) const;
  // Its number, "511:0"; "" if it has none.
  [[nodiscard]] std::string CdevNumber(const HostDevice& device) const;
  // Processes that have the device's group or its character device open.
  [[nodiscard]] std::vector<std::string> Users(const HostDevice& device) const;
  // Names of the other devices of its IOMMU group, sorted.
  [[nodiscard]] std::vector<std::string> OthersInGroup(const HostDevice& device) const;
  // Those of them that a driver of the host has: with any the group is not viable.
  [[nodiscard]] std::vector<GroupHolder> HeldInGroup(const HostDevice& device) const;
  [[nodiscard]] bool HasVfioDriver(HostBus bus) const;
  // A parameter under /sys/module that is Y or N; nothing if there is none.
  [[nodiscard]] std::optional<bool> ModuleFlag(const std::string& module,
                                               const std::string& parameter) const;
  // Binds the device to VFIO's driver, unbinding its present one; throws a chain with the remedy.
  void BindToVfio(const HostDevice& device) const;
  // On the way out of a failure, has the device as it was read `before`: with its override, with a
  // driver if it had one. What goes wrong is only logged.
  void GiveBack(const HostDevice& before) const noexcept;
  // Gives the device back to the driver that the host would choose.
  void UnbindFromVfio(const HostDevice& device) const;

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  [[nodiscard]] std::filesystem::path DevicePath(const HostDevice& device) const;

 private:
  [[nodiscard]] std::filesystem::path BusPath(HostBus bus) const;
  [[nodiscard]] HostDevice Read(HostBus bus, const std::string& name) const;
  // "\n  NAME" of each device that may be meant by a name that none has.
  [[nodiscard]] std::string SimilarTo(const std::string& name) const;

  std::filesystem::path root_;
};

// " by process" and the processes, one to a line; nothing if none is known.
std::string ByProcesses(const std::vector<std::string>& processes);

}  // namespace microvm
