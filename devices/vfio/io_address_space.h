// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "vmm/host/error.h"
#include "vmm/host/fd.h"
#include "vmm/host/host_device.h"
#include "vmm/memory/address_range.h"

namespace microvm {

// The I/O virtual addresses of some devices, with what they reach there: the one thing that VFIO's
// two interfaces, group with container and cdev with iommufd, have in common. It outlives the
// devices got from it: its mappings go only after they are closed. Throws chains with the remedy.
class IoAddressSpace {
 public:
  IoAddressSpace() = default;
  IoAddressSpace(const IoAddressSpace&) = delete;
  IoAddressSpace& operator=(const IoAddressSpace&) = delete;
  IoAddressSpace(IoAddressSpace&&) = delete;
  IoAddressSpace& operator=(IoAddressSpace&&) = delete;
  virtual ~IoAddressSpace() = default;

  // A descriptor of the device, which has this address space from now on.
  virtual Fd OpenDevice(const HostDevice& device) = 0;

  // Lets the devices read and write `memory` at the I/O virtual addresses equal to `guest`.
  virtual void MapDma(const AddressRange& guest, void* memory) = 0;

  // What can be mapped, in ascending order: all that the devices opened so far can address, less
  // what their IOMMU reserves (for message-signalled interrupts, say). Empty: the host does not
  // tell.
  [[nodiscard]] virtual std::vector<AddressRange> MappableRanges() const = 0;
};

// What there is to say of a device whose IOMMU group the host shares: `held`, other devices of the
// group, belong to drivers of the host. VFIO takes a group whole
// (Documentation/driver-api/vfio.rst).
Error GroupNotViable(const HostDevice& device, const std::vector<GroupHolder>& held);

}  // namespace microvm
