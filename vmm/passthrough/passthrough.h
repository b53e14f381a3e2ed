// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "devices/vfio/container.h"
#include "devices/vfio/device.h"
#include "vmm/host/host_device.h"
#include "vmm/plan/device_facts.h"

namespace microvm {

// The containers that a set of devices needs. One each, as a mapping is for a whole container.
struct VfioContainers {
  std::unique_ptr<VfioContainer> mapped;    // behind an IOMMU that maps the guest's RAM
  std::unique_ptr<VfioContainer> unmapped;  // behind an IOMMU that maps nothing
  std::unique_ptr<VfioContainer> no_iommu;
};

// Devices of the host, opened, with what planning needs to know of them. Members are closed in
// reverse: devices before their containers.
struct OpenedDevices {
  VfioContainers containers;
  std::vector<std::unique_ptr<VfioDevice>> devices;  // in the order of the configuration
  std::vector<DeviceFacts> facts;
};

// Throws Error, with the remedy, if the kernel has not handed the device over to VFIO, or not in a
// way that this dma mode needs.
void CheckReady(const HostDevice& device, DmaMode dma);

// Opens every device of the configuration. Throws a chain that names the device, with the remedy;
// what was opened is closed again then.
OpenedDevices OpenDevices(HostKernel& kernel, const HostSysfs& sysfs,
                          const std::vector<PlatformConfig>& platform);

// The host's device tree: the blob the kernel was booted with if it may be read and has
// `node_path` (one read), else the live tree node by node (overlays applied at run time).
std::shared_ptr<const DeviceTree> ReadHostTree(const HostSysfs& sysfs,
                                               const std::string& node_path);

}  // namespace microvm
