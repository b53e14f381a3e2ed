// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "devices/vfio/io_address_space.h"

namespace microvm {

// An I/O address space of an iommufd, with the devices attached to it by their character devices
// (Documentation/userspace-api/iommufd.rst; Documentation/driver-api/vfio.rst, "VFIO Device
// cdev"). There is none without an IOMMU, nor before one that is not cache-coherent: binding fails
// with EINVAL there.
class Ioas final : public IoAddressSpace {
 public:
  // /dev/iommu; several address spaces may share one. Throws a chain that ends with errno.
  static Fd OpenIommufd(HostKernel& kernel);

  // `iommufd` and `sysfs` outlive it.
  Ioas(const Fd& iommufd, const HostSysfs& sysfs);

  Fd OpenDevice(const HostDevice& device) override;
  // As OpenDevice, with the device's character device opened already by the one who started this
  // process; checks that it is that.
  Fd AdoptDevice(Fd cdev, const HostDevice& device);
  void MapDma(const AddressRange& guest, void* memory) override;
  [[nodiscard]] std::vector<AddressRange> MappableRanges() const override;

 private:
  Fd Attach(Fd cdev, const HostDevice& device);
  [[noreturn]] void ThrowBindFailed(const std::exception& error, const HostDevice& device) const;

  const Fd& iommufd_;
  const HostSysfs& sysfs_;
  std::uint32_t id_ = 0;
};

}  // namespace microvm
