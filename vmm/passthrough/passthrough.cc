// SPDX-License-Identifier: Apache-2.0
#include "vmm/passthrough/passthrough.h"

#include "vmm/host/error.h"
#include "vmm/host/file.h"
#include "vmm/passthrough/host_clocks.h"

namespace microvm {
namespace {

// A group is in one container, and a container maps the guest's RAM or nothing.
void CheckSharedGroup(const std::vector<HostDevice>& before,
                      const std::vector<PlatformConfig>& platform, const HostDevice& device,
                      DmaMode dma) {
  for (std::size_t index = 0; index < before.size(); ++index) {
    if (before[index].iommu_group != device.iommu_group || platform[index].dma == dma) continue;
    throw Error("it shares IOMMU group " + std::to_string(*device.iommu_group) + " with '" +
                    before[index].name + "', which has another dma mode",
                "give both the same dma");
  }
}

VfioContainer& ContainerFor(VfioContainers& containers, HostKernel& kernel, const HostSysfs& sysfs,
                            const HostDevice& device, DmaMode dma) {
  const auto get = [&](std::unique_ptr<VfioContainer>& container,
                       IommuType type) -> VfioContainer& {
    if (!container) container = std::make_unique<VfioContainer>(kernel, sysfs, type);
    return *container;
  };
  if (device.no_iommu) return get(containers.no_iommu, IommuType::kNoIommu);
  return get(dma == DmaMode::kIommu ? containers.mapped : containers.unmapped, IommuType::kType1);
}

DeviceFacts ReadFacts(const HostSysfs& sysfs, const HostDevice& host, const VfioDevice& device,
                      const PlatformConfig& config, const std::shared_ptr<const DeviceTree>& tree) {
  const auto node = tree->Find(*host.device_tree_path);
  if (!node) throw Error("the host's device tree has no node " + *host.device_tree_path);
  DeviceFacts facts;
  facts.config = config;
  for (const VfioRegion& region : device.regions()) {
    facts.regions.push_back({region.size_bytes, region.mappable});
  }
  for (const VfioInterrupt& interrupt : device.interrupts()) {
    facts.interrupts.push_back({interrupt.automasked});
  }
  facts.clocks = ReadClocks(*tree, *node, sysfs.root());
  facts.can_reset = device.can_reset();
  facts.tree = tree;
  facts.node_path = *host.device_tree_path;
  return facts;
}

}  // namespace

void CheckReady(const HostDevice& device, DmaMode dma) {
  if (!device.bound_to_vfio()) {
    throw Error(device.driver.empty() ? "it is bound to no driver"
                                      : "it is bound to the host's driver '" + device.driver + "'",
                "microvm device bind " + device.name);
  }
  if (!device.iommu_group) {
    throw Error("it has no IOMMU group",
                "for a device that does no DMA: boot the host with "
                "vfio.enable_unsafe_noiommu_mode=1, bind it again and write dma = \"none\"");
  }
  if (dma == DmaMode::kIommu && device.no_iommu) {
    throw Error("dma = \"iommu\", but no IOMMU of the host stands before it",
                "if the device does no DMA, write dma = \"none\"");
  }
}

std::shared_ptr<const DeviceTree> ReadHostTree(const HostSysfs& sysfs,
                                               const std::string& node_path) {
  const std::string blob = (sysfs.root() / "sys/firmware/fdt").string();
  try {
    auto tree = std::make_shared<const DeviceTree>(ReadFile(blob));
    if (tree->Find(node_path)) return tree;
  } catch (const std::exception&) {
    // Not readable, or none: the live tree says the same, more slowly.
  }
  const auto live = sysfs.root() / "sys/firmware/devicetree/base";
  return std::make_shared<const DeviceTree>(DeviceTree::FromDirectory(live));
}

OpenedDevices OpenDevices(HostKernel& kernel, const HostSysfs& sysfs,
                          const std::vector<PlatformConfig>& platform) {
  OpenedDevices opened;
  std::shared_ptr<const DeviceTree> tree;
  std::vector<HostDevice> hosts;
  for (const PlatformConfig& config : platform) {
    WithContext(Error("cannot pass through '" + config.host + "'"), [&] {
      const HostDevice host = sysfs.Find(config.host);
      CheckReady(host, config.dma);
      CheckSharedGroup(hosts, platform, host, config.dma);
      hosts.push_back(host);
      if (!host.device_tree_path) throw Error("it has no node in a device tree");
      VfioContainer& container = ContainerFor(opened.containers, kernel, sysfs, host, config.dma);
      opened.devices.push_back(std::make_unique<VfioDevice>(container.OpenDevice(host)));
      if (!tree || !tree->Find(*host.device_tree_path)) {
        tree = ReadHostTree(sysfs, *host.device_tree_path);
      }
      opened.facts.push_back(ReadFacts(sysfs, host, *opened.devices.back(), config, tree));
    });
  }
  return opened;
}

}  // namespace microvm
