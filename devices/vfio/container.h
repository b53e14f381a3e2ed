// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "vmm/host/fd.h"
#include "vmm/host/host_device.h"
#include "vmm/memory/address_range.h"

namespace microvm {

// What stands between the devices of a container and memory.
enum class IommuType {
  kType1,    // VFIO_TYPE1v2_IOMMU: devices reach what is mapped, and nothing else
  kNoIommu,  // VFIO_NOIOMMU_IOMMU: nothing stands there; for devices that do no DMA
};

// A VFIO container with the groups attached to it (Documentation/driver-api/vfio.rst). It outlives
// the devices got from it: its mappings go only after they are closed.
class VfioContainer {
 public:
  VfioContainer(HostKernel& kernel, const HostSysfs& sysfs, IommuType type);

  // A descriptor of the device; opens and attaches its group the first time. Throws a chain with
  // the remedy.
  Fd OpenDevice(const HostDevice& device);

  // Lets the devices read and write `memory` at the I/O virtual address equal to `guest`'s start.
  void MapDma(const AddressRange& guest, void* memory);

 private:
  Fd OpenGroup(const HostDevice& device);
  void Attach(const Fd& group, const HostDevice& device);

  HostKernel& kernel_;
  const HostSysfs& sysfs_;
  IommuType type_;
  Fd fd_;
  std::map<unsigned, Fd> groups_;
};

}  // namespace microvm
