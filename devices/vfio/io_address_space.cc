// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/io_address_space.h"

namespace microvm {

Error GroupNotViable(const HostDevice& device, const std::map<std::string, std::string>& held) {
  const std::string number = std::to_string(device.iommu_group.value_or(0));
  std::string holders;
  std::string remedy = "bind every device of the group to VFIO:";
  for (const auto& [name, driver] : held) {
    holders.append("\n  ").append(name).append(" (").append(driver).append(")");
    remedy.append("\nmicrovm device bind ").append(name);
  }
  // The kernel has said so; who it is may have changed since, or be on another bus.
  if (held.empty()) remedy += "\nls /sys/kernel/iommu_groups/" + number + "/devices";
  return Error("its IOMMU group " + number +
                   " is not viable: a driver of the host has another device of it" + holders,
               remedy);
}

}  // namespace microvm
