// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "devices/vfio/device.h"
#include "devices/vfio/io_address_space.h"
#include "vmm/host/host_device.h"
#include "vmm/memory/identity_ram.h"
#include "vmm/plan/device_facts.h"

namespace microvm {

// The I/O address spaces that a set of devices needs: at most one for each interface of VFIO and
// for each answer to what is mapped, as a mapping is for all devices of its space. Members are
// closed in reverse.
struct IoAddressSpaces {
  struct Entry {
    VfioBackend backend;
    bool no_iommu;
    bool maps_ram;  // else nothing
    std::unique_ptr<IoAddressSpace> space;
  };
  std::unique_ptr<const Fd> iommufd;  // stays where it is: the spaces refer to it
  std::vector<Entry> entries;
};

// Devices of the host, opened, with what planning needs to know of them. Members are closed in
// reverse: devices before their address spaces and before the RAM that they reach.
struct OpenedDevices {
  std::unique_ptr<IdentityRam> identity_ram;  // nothing, unless a device has dma = "identity"
  IoAddressSpaces spaces;
  std::vector<std::unique_ptr<VfioDevice>> devices;  // in the order of the configuration
  std::vector<DeviceFacts> facts;
};

// Throws Error, with the remedy, if the kernel has not handed the device over to VFIO, or not in a
// way that this dma mode needs.
void CheckReady(const HostDevice& device, DmaMode dma);

// Throws Error if a descriptor that the configuration says is passed in is not one of a device.
// Before the program opens a device, which may get the number.
void CheckPassedDescriptors(HostKernel& kernel, const VmConfig& config);

// Opens every device of the configuration. Throws a chain that names the device, with the remedy;
// what was opened is closed again then.
//
// Descriptors that the configuration passes in are taken over, and closed with the rest.
OpenedDevices OpenDevices(HostKernel& kernel, const HostSysfs& sysfs, const VmConfig& config);

// The host's device tree: the blob the kernel was booted with if it may be read and has
// `node_path` (one read), else the live tree node by node (overlays applied at run time).
std::shared_ptr<const DeviceTree> ReadHostTree(const HostSysfs& sysfs,
                                               const std::string& node_path);

}  // namespace microvm
