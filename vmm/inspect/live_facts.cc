// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/live_facts.h"

#include "vmm/host/device_use.h"
#include "vmm/host/error.h"
#include "vmm/passthrough/passthrough.h"

namespace microvm {

LiveFacts ReadLiveFacts(const HostSysfs& sysfs, const OpenFiles& files, const HostDevice& device,
                        DmaMode dma) {
  LiveFacts facts;
  facts.name = device.name;
  facts.driver = device.driver;
  facts.bound_to_vfio = device.bound_to_vfio();
  facts.iommu_group = device.iommu_group;
  facts.no_iommu = device.no_iommu;
  facts.group_members = sysfs.OthersInGroup(device);
  for (const GroupHolder& holder : sysfs.HeldInGroup(device)) {
    facts.group_holders.push_back(holder.driver + ": " + holder.release);
  }
  facts.vfio_driver = sysfs.HasVfioDriver(device.bus);
  facts.no_iommu_mode = sysfs.ModuleFlag("vfio", "enable_unsafe_noiommu_mode");
  // A device goes by iommufd, or, if that may not take it, by its group: either flag will do.
  const auto type1 = sysfs.ModuleFlag("vfio_iommu_type1", "allow_unsafe_interrupts");
  const auto iommufd = sysfs.ModuleFlag("iommufd", "allow_unsafe_interrupts");
  facts.unsafe_interrupts = type1.value_or(false) ? type1 : iommufd ? iommufd : type1;
  if (iommufd && !type1) facts.unsafe_interrupts_module = "iommufd";
  facts.reset_required = sysfs.ModuleFlag("vfio_platform", "reset_required");
  try {
    CheckReady(device, dma);
  } catch (const Error& error) {
    facts.not_ready = error.what();
    facts.not_ready_fix = error.remedy();
  }
  try {
    CheckUnused(sysfs, files, device);
  } catch (const Error& error) {
    facts.in_use = error.what();
    facts.in_use_fix = error.remedy();
  }
  return facts;
}

}  // namespace microvm
