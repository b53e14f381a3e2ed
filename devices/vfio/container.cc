// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/container.h"

#include <fcntl.h>
#include <linux/vfio.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>

#include "vmm/host/error.h"

namespace microvm {
namespace {

Fd OpenContainer(HostKernel& kernel) {
  return OpenDeviceFile(kernel, "/dev/vfio/vfio", Error("no permission to use VFIO", "run as root"),
                        Error("this host offers no VFIO",
                              "the kernel needs CONFIG_VFIO, CONFIG_VFIO_CONTAINER and "
                              "CONFIG_VFIO_PLATFORM; modprobe vfio vfio-platform"));
}

[[noreturn]] void ThrowSetIommuFailed(const std::exception& error, IommuType type) {
  if (type == IommuType::kType1 && ErrnoOf(error) == EPERM) {
    std::throw_with_nested(
        Error("the host's IOMMU does not isolate message-signalled interrupts for this device",
              "if the device cannot send MSIs (most platform devices cannot), allow it:\n"
              "echo 1 > /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts\n"
              "or, on the kernel's command line: vfio_iommu_type1.allow_unsafe_interrupts=1"));
  }
  if (ErrnoOf(error) == EPERM) {
    std::throw_with_nested(
        Error("no-IOMMU access needs the capability CAP_SYS_RAWIO", "run as root"));
  }
  std::throw_with_nested(Error("the host's IOMMU cannot be used"));
}

// vfio_iommu_type1_attach_group: EINVAL where no domain serves both groups.
[[noreturn]] void ThrowSecondGroupFailed(const std::exception& error, IommuType type) {
  if (ErrnoOf(error) == EINVAL) {
    std::throw_with_nested(
        Error("its IOMMU is of another kind than that of the devices before it",
              "devices of one guest need IOMMUs that can share a mapping: leave one of them out; "
              "see: dmesg | tail"));
  }
  ThrowSetIommuFailed(error, type);
}

// The structure at `offset`, if the answer has room for it.
template <typename Struct>
std::optional<Struct> ReadAt(std::span<const std::byte> answer, std::size_t offset) {
  if (offset > answer.size() || answer.size() - offset < sizeof(Struct)) return std::nullopt;
  Struct value;
  std::memcpy(&value, answer.data() + offset, sizeof(value));
  return value;
}

// What the capability VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE says; nothing without it.
std::vector<AddressRange> FindIovaRanges(std::span<const std::byte> answer, std::size_t offset) {
  constexpr std::size_t kLargestChain = 64;
  for (std::size_t step = 0; offset != 0 && step < kLargestChain; ++step) {
    const auto header = ReadAt<vfio_info_cap_header>(answer, offset);
    if (!header) break;
    if (header->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
      std::vector<AddressRange> ranges;
      std::size_t at = offset + sizeof(vfio_iommu_type1_info_cap_iova_range);
      while (const auto range = ReadAt<vfio_iova_range>(answer, at)) {
        const auto count =
            ReadAt<std::uint32_t>(answer, offset + sizeof(vfio_info_cap_header)).value_or(0);
        if (ranges.size() == count) break;
        // A range that is all 64 bits has a size that no integer holds.
        const std::uint64_t size = range->end - range->start;
        ranges.emplace_back(GuestAddress{range->start},
                            size == ~std::uint64_t{0} ? size : size + 1);
        at += sizeof(vfio_iova_range);
      }
      return ranges;
    }
    offset = header->next;
  }
  return {};
}

}  // namespace

VfioContainer::VfioContainer(HostKernel& kernel, const HostSysfs& sysfs, IommuType type)
    : kernel_(kernel), sysfs_(sysfs), type_(type), fd_(OpenContainer(kernel)) {
  const int version = CheckedIoctl(fd_, IOCTL_CODE(VFIO_GET_API_VERSION));
  if (version != VFIO_API_VERSION) {
    throw Error("VFIO has API version " + std::to_string(version) + ", not " +
                std::to_string(VFIO_API_VERSION));
  }
}

Fd VfioContainer::OpenGroup(const HostDevice& device) {
  const std::string path = sysfs_.GroupPath(device);
  try {
    return OpenFd(kernel_, path, O_RDWR);
  } catch (const std::exception& error) {
    switch (ErrnoOf(error)) {
      case EBUSY: {
        const auto users = sysfs_.Users(device);
        std::throw_with_nested(Error("its IOMMU group is already in use" + ByProcesses(users),
                                     "stop the process that has it"));
      }
      case EACCES:
      case EPERM:
        std::throw_with_nested(Error("no permission to use its IOMMU group",
                                     device.no_iommu ? "run as root (no-IOMMU groups need "
                                                       "CAP_SYS_RAWIO)"
                                                     : "run as root, or: chown USER " + path));
      default:
        std::throw_with_nested(Error("its IOMMU group cannot be opened",
                                     "is the device bound? microvm device bind " + device.name));
    }
  }
}

void VfioContainer::Attach(const Fd& group, const HostDevice& device) {
  vfio_group_status status{};
  status.argsz = sizeof(status);
  CheckedIoctl(group, IOCTL_CODE(VFIO_GROUP_GET_STATUS), &status);
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0) {
    throw GroupNotViable(device, sysfs_.HeldInGroup(device));
  }
  int container = fd_.get();
  try {
    CheckedIoctl(group, IOCTL_CODE(VFIO_GROUP_SET_CONTAINER), &container);
  } catch (const std::exception& error) {
    // Into a container that has its type, a group is attached to the IOMMU at once.
    if (groups_.empty()) throw;
    ThrowSecondGroupFailed(error, type_);
  }
  if (!groups_.empty()) return;
  // A container's type can be set once it has a group, and then only once.
  const unsigned long type = type_ == IommuType::kType1 ? VFIO_TYPE1v2_IOMMU : VFIO_NOIOMMU_IOMMU;
  try {
    CheckedIoctl(fd_, IOCTL_CODE(VFIO_SET_IOMMU), type);
  } catch (const std::exception& error) {
    ThrowSetIommuFailed(error, type_);
  }
}

Fd VfioContainer::OpenDevice(const HostDevice& device) {
  auto found = groups_.find(*device.iommu_group);
  if (found == groups_.end()) {
    Fd group = OpenGroup(device);
    Attach(group, device);
    found = groups_.emplace(*device.iommu_group, std::move(group)).first;
  }
  std::string name = device.name;
  const Error context("the device cannot be opened",
                      "see: dmesg | tail\nif the kernel asks for a reset driver, on its command "
                      "line: vfio-platform.reset_required=0");
  return WithContext(context, [&] {
    return Fd(kernel_,
              CheckedIoctl(found->second, IOCTL_CODE(VFIO_GROUP_GET_DEVICE_FD), name.data()));
  });
}

void VfioContainer::MapDma(const AddressRange& guest, void* memory) {
  vfio_iommu_type1_dma_map map{};
  map.argsz = sizeof(map);
  map.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  map.vaddr = reinterpret_cast<std::uintptr_t>(memory);
  map.iova = guest.start().value;
  map.size = guest.size_bytes();
  const Error context("cannot map the guest's memory for DMA at " + ToString(guest),
                      "ENOMEM: raise the limit on locked memory (ulimit -l unlimited) or run as "
                      "root\nEINVAL: the range meets a window that the IOMMU reserves; see "
                      "/sys/kernel/iommu_groups/*/reserved_regions");
  WithContext(context, [&] { CheckedIoctl(fd_, IOCTL_CODE(VFIO_IOMMU_MAP_DMA), &map); });
}

std::vector<AddressRange> VfioContainer::MappableRanges() const {
  // The kernel says in argsz how much it has to tell.
  std::vector<std::byte> answer(sizeof(vfio_iommu_type1_info));
  for (;;) {
    vfio_iommu_type1_info info{};
    info.argsz = static_cast<std::uint32_t>(answer.size());
    std::memcpy(answer.data(), &info, sizeof(info));
    CheckedIoctl(fd_, IOCTL_CODE(VFIO_IOMMU_GET_INFO), answer.data());
    std::memcpy(&info, answer.data(), sizeof(info));
    if ((info.flags & VFIO_IOMMU_INFO_CAPS) == 0) return {};
    if (info.argsz <= answer.size()) return FindIovaRanges(answer, info.cap_offset);
    answer.resize(info.argsz);
  }
}

}  // namespace microvm
