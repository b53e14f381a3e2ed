// SPDX-License-Identifier: Apache-2.0
#include "vmm/passthrough/passthrough.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <map>
#include <utility>

#include "devices/vfio/container.h"
#include "devices/vfio/ioas.h"
#include "vmm/host/error.h"
#include "vmm/host/file.h"
#include "vmm/host/interrupt_counts.h"
#include "vmm/passthrough/host_clocks.h"
#include "vmm/plan/host_interrupts.h"

namespace microvm {
namespace {

void CheckBackend(const HostDevice& device, const PlatformConfig& config) {
  if (!device.no_iommu) return;
  if (config.backend == VfioBackend::kIommufd || config.device_fd) {
    throw Error("iommufd needs an IOMMU, and none of the host's stands before it",
                "leave 'backend' and 'device_fd' out");
  }
}

// A group is in one address space, which maps the guest's RAM or nothing.
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

// Opens devices, each in an address space that is made with its first device.
class Opener {
 public:
  Opener(HostKernel& kernel, const HostSysfs& sysfs, IoAddressSpaces& spaces)
      : kernel_(kernel), sysfs_(sysfs), spaces_(spaces) {}

  // The device's descriptor and the index of its address space.
  std::pair<Fd, std::size_t> Open(const HostDevice& host, const PlatformConfig& config) {
    std::pair<Fd, std::size_t> opened = TryOpen(host, config);
    backend_of_group_.emplace(*host.iommu_group, spaces_.entries[opened.second].backend);
    return opened;
  }

 private:
  std::pair<Fd, std::size_t> TryOpen(const HostDevice& host, const PlatformConfig& config) {
    if (config.device_fd) return Adopt(host, config);
    if (config.backend != VfioBackend::kAuto) return OpenThrough(config.backend, host, config.dma);
    // The kernel gives all of a group through one interface.
    if (const auto found = backend_of_group_.find(*host.iommu_group);
        found != backend_of_group_.end()) {
      return OpenThrough(found->second, host, config.dma);
    }
    if (host.vfio_device.empty()) return OpenThrough(VfioBackend::kGroup, host, config.dma);
    try {
      return OpenThrough(VfioBackend::kIommufd, host, config.dma);
    } catch (const std::exception& error) {
      if (!IsNotOffered(ErrnoOf(error)) || !sysfs_.Users(host).empty()) throw;
      return OpenGroupInstead(host, config.dma, std::current_exception());
    }
  }

  // A host that offers iommufd and no groups has its say of what iommufd lacks.
  std::pair<Fd, std::size_t> OpenGroupInstead(const HostDevice& host, DmaMode dma,
                                              const std::exception_ptr& of_iommufd) {
    try {
      return OpenThrough(VfioBackend::kGroup, host, dma);
    } catch (const std::exception& error) {
      if (ErrnoOf(error) == ENOENT && spaces_.iommufd) std::rethrow_exception(of_iommufd);
      throw;
    }
  }

  // No /dev/iommu; no permission for it or for the device; MSIs that may be allowed for the group
  // alone; an IOMMU that iommufd does not take. The group may do.
  static bool IsNotOffered(int error) {
    return error == ENOENT || error == EACCES || error == EPERM || error == EINVAL;
  }

  std::pair<Fd, std::size_t> Adopt(const HostDevice& host, const PlatformConfig& config) {
    Fd cdev(kernel_, *config.device_fd);
    const std::size_t index = SpaceFor(VfioBackend::kIommufd, host, config.dma);
    auto& ioas = static_cast<Ioas&>(*spaces_.entries[index].space);
    return {ioas.AdoptDevice(std::move(cdev), host), index};
  }

  std::pair<Fd, std::size_t> OpenThrough(VfioBackend backend, const HostDevice& host, DmaMode dma) {
    const std::size_t before = spaces_.entries.size();
    const std::size_t index = SpaceFor(backend, host, dma);
    try {
      return {spaces_.entries[index].space->OpenDevice(host), index};
    } catch (...) {
      // Nobody else is in a space that was made for this device.
      if (index == before) spaces_.entries.pop_back();
      throw;
    }
  }

  std::size_t SpaceFor(VfioBackend backend, const HostDevice& host, DmaMode dma) {
    const bool maps_ram = dma == DmaMode::kIommu;
    auto& entries = spaces_.entries;
    for (std::size_t index = 0; index < entries.size(); ++index) {
      const auto& entry = entries[index];
      if (entry.backend == backend && entry.no_iommu == host.no_iommu &&
          entry.maps_ram == maps_ram) {
        return index;
      }
    }
    entries.push_back({backend, host.no_iommu, maps_ram, MakeSpace(backend, host)});
    return entries.size() - 1;
  }

  std::unique_ptr<IoAddressSpace> MakeSpace(VfioBackend backend, const HostDevice& host) {
    if (backend == VfioBackend::kGroup) {
      const IommuType type = host.no_iommu ? IommuType::kNoIommu : IommuType::kType1;
      return std::make_unique<VfioContainer>(kernel_, sysfs_, type);
    }
    if (!spaces_.iommufd) spaces_.iommufd = std::make_unique<const Fd>(Ioas::OpenIommufd(kernel_));
    return std::make_unique<Ioas>(*spaces_.iommufd, sysfs_);
  }

  HostKernel& kernel_;
  const HostSysfs& sysfs_;
  IoAddressSpaces& spaces_;
  std::map<unsigned, VfioBackend> backend_of_group_;
};

DeviceFacts ReadFacts(const HostSysfs& sysfs, const HostDevice& host, const VfioDevice& device,
                      const PlatformConfig& config, const std::shared_ptr<const DeviceTree>& tree) {
  const auto node = tree->Find(*host.device_tree_path);
  if (!node) throw Error("the host's device tree has no node " + *host.device_tree_path);
  DeviceFacts facts;
  facts.config = config;
  for (const VfioRegion& region : device.regions()) {
    facts.regions.push_back({region.size_bytes, region.mappable});
  }
  facts.page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::vector<InterruptLine> lines = HostInterrupts(*tree, *node);
  for (std::size_t index = 0; index < device.interrupts().size(); ++index) {
    const VfioInterrupt& interrupt = device.interrupts()[index];
    facts.interrupts.push_back({interrupt.automasked, interrupt.line_error});
    if (interrupt.line_error == 0 || index >= lines.size() || !lines[index].intid) continue;
    facts.interrupts.back().users = LineUsers(sysfs)[*lines[index].intid];
  }
  facts.clocks = ReadClocks(*tree, *node, sysfs.root());
  facts.clocks_below = ReadClocksBelow(*tree, *node, sysfs.root());
  facts.can_reset = device.can_reset();
  facts.tree = tree;
  facts.node_path = *host.device_tree_path;
  facts.no_iommu = host.no_iommu;
  return facts;
}

std::unique_ptr<IdentityRam> OpenIdentityRam(HostKernel& kernel, const VmConfig& config) {
  IdentityRamOptions options{.path = config.memory.identity_file->string(),
                             .size_bytes = config.memory.size_bytes,
                             .page_bytes = config.memory.hugepage_bytes};
  for (const PlatformConfig& device : config.platform) {
    if (device.dma != DmaMode::kIdentity) continue;
    options.devices.push_back(device.host);
    options.loose = options.loose || device.reset.policy == ResetPolicy::kNone;
  }
  return WithContext(Error("memory.identity_file " + options.path),
                     [&] { return std::make_unique<IdentityRam>(kernel, options); });
}

}  // namespace

void CheckReady(const HostDevice& device, DmaMode dma) {
  if (!device.bound_to_vfio()) {
    throw Error(device.driver.empty() ? "it is bound to no driver"
                                      : "it is bound to the host's driver '" + device.driver + "'",
                "microvm device bind " + device.name);
  }
  if (!device.iommu_group) {
    throw Error(
        "it has no IOMMU group",
        "boot the host with vfio.enable_unsafe_noiommu_mode=1 and bind it again; then, for a "
        "device that does no DMA, write dma = \"none\"");
  }
  if (dma == DmaMode::kIommu && device.no_iommu) {
    throw Error("dma = \"iommu\", but no IOMMU of the host stands before it",
                "if the device does no DMA, write dma = \"none\"; if the guest may be trusted with "
                "all of the host's memory: dma = \"identity\"");
  }
  if (dma == DmaMode::kIdentity && !device.no_iommu) {
    throw Error(
        "dma = \"identity\", but an IOMMU of the host stands before it, which knows "
        "nothing of the host's addresses",
        "write dma = \"iommu\"");
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

void CheckPassedDescriptors(HostKernel& kernel, const VmConfig& config) {
  const auto check = [&](std::optional<int> fd, const char* what) {
    if (!fd) return;
    struct stat status {};
    const std::string which = "descriptor " + std::to_string(*fd);
    const std::string remedy =
        std::string("start microvm with ") + what + " open as this descriptor";
    if (kernel.Fstat(*fd, &status) != 0) {
      WithContext(Error(which + " is not open", remedy), [] { ThrowErrno("fstat"); });
    }
    if (!S_ISCHR(status.st_mode)) throw Error(which + " is no device", remedy);
  };
  check(config.iommu_fd, "/dev/iommu");
  if (config.vsock) check(config.vsock->vhost_fd, "/dev/vhost-vsock");
  for (const NetConfig& net : config.nets) {
    for (const int fd : net.tap_fds) check(fd, "a tap (/dev/net/tun after TUNSETIFF)");
  }
  for (const PlatformConfig& platform : config.platform) {
    WithContext(Error("cannot pass through '" + platform.host + "'"),
                [&] { check(platform.device_fd, "its /dev/vfio/devices/vfioN"); });
  }
}

OpenedDevices OpenDevices(HostKernel& kernel, const HostSysfs& sysfs, const VmConfig& config) {
  OpenedDevices opened;
  if (config.iommu_fd) opened.spaces.iommufd = std::make_unique<const Fd>(kernel, *config.iommu_fd);
  Opener opener(kernel, sysfs, opened.spaces);
  std::shared_ptr<const DeviceTree> tree;
  std::vector<HostDevice> hosts;
  std::vector<std::size_t> space_of;
  for (const PlatformConfig& platform : config.platform) {
    WithContext(Error("cannot pass through '" + platform.host + "'"), [&] {
      const HostDevice host = sysfs.Find(platform.host);
      CheckReady(host, platform.dma);
      CheckBackend(host, platform);
      CheckSharedGroup(hosts, config.platform, host, platform.dma);
      hosts.push_back(host);
      if (!host.device_tree_path) throw Error("it has no node in a device tree");
      auto [fd, space] = opener.Open(host, platform);
      space_of.push_back(space);
      opened.devices.push_back(std::make_unique<VfioDevice>(std::move(fd)));
      if (!tree || !tree->Find(*host.device_tree_path)) {
        tree = ReadHostTree(sysfs, *host.device_tree_path);
      }
      opened.facts.push_back(ReadFacts(sysfs, host, *opened.devices.back(), platform, tree));
      opened.facts.back().backend = opened.spaces.entries[space].backend;
    });
  }
  // Only now: each device that joins a space may narrow it.
  for (std::size_t index = 0; index < space_of.size(); ++index) {
    const IoAddressSpaces::Entry& entry = opened.spaces.entries[space_of[index]];
    if (!entry.maps_ram) continue;
    WithContext(Error("cannot pass through '" + config.platform[index].host + "'"),
                [&] { opened.facts[index].mappable = entry.space->MappableRanges(); });
  }
  if (config.memory.identity_file) opened.identity_ram = OpenIdentityRam(kernel, config);
  for (DeviceFacts& facts : opened.facts) {
    if (facts.config.dma == DmaMode::kIdentity) facts.mappable = opened.identity_ram->ranges();
  }
  return opened;
}

}  // namespace microvm
