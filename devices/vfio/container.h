// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "devices/vfio/io_address_space.h"

namespace microvm {

// What stands between the devices of a container and memory.
enum class IommuType {
  kType1,    // VFIO_TYPE1v2_IOMMU: devices reach what is mapped, and nothing else
  kNoIommu,  // VFIO_NOIOMMU_IOMMU: nothing stands there; for devices that do no DMA
};

// A VFIO container with the groups attached to it (Documentation/driver-api/vfio.rst).
class VfioContainer final : public IoAddressSpace {
 public:
  VfioContainer(HostKernel& kernel, const HostSysfs& sysfs, IommuType type);

  // Opens and attaches the device's group the first time.
  Fd OpenDevice(const HostDevice& device) override;
  void MapDma(const AddressRange& guest, void* memory) override;
  // Linux tells from 5.4 on.
  [[nodiscard]] std::vector<AddressRange> MappableRanges() const override;

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
