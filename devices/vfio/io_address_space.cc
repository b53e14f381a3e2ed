// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/io_address_space.h"

namespace microvm {

Error GroupNotViable(const HostDevice& device, const std::vector<GroupHolder>& held) {
  const std::string number = std::to_string(device.iommu_group.value_or(0));
  std::string holders;
  std::string remedy = "take every device of the group from its driver:";
  for (const GroupHolder& holder : held) {
    holders.append("\n  ").append(holder.device).append(" (").append(holder.driver).append(")");
    remedy.append("\n").append(holder.release);
  }
  // The kernel has said so; who it is may have changed since, or be on another bus.
  if (held.empty()) remedy += "\nls /sys/kernel/iommu_groups/" + number + "/devices";
  return Error("its IOMMU group " + number +
                   " is not viable: a driver of the host has another device of it" + holders,
               remedy);
}

}  // namespace microvm
