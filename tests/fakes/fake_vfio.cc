// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_vfio.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace microvm::fakes {

long FakeContainer::Attach(bool no_iommu) {
  if (no_iommu && !kernel_.host.raw_io) return -EPERM;
  if (groups_ > 0 && no_iommu != no_iommu_) return -EPERM;
  no_iommu_ = no_iommu;
  ++groups_;
  return 0;
}

long FakeContainer::SetIommu(unsigned long type) {
  if (groups_ == 0 || iommu_ != 0) return -EINVAL;
  if (no_iommu_ != (type == VFIO_NOIOMMU_IOMMU)) return -ENODEV;
  if (type != VFIO_NOIOMMU_IOMMU && type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU) {
    return -ENODEV;
  }
  if (!no_iommu_ && !kernel_.host.isolates_msi) return -EPERM;
  iommu_ = type;
  return 0;
}

long FakeContainer::MapDma(const vfio_iommu_type1_dma_map& map) {
  constexpr std::uint32_t kAccess = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
  if (map.argsz < sizeof(map) || (map.flags & ~kAccess) != 0 || map.flags == 0) return -EINVAL;
  if (map.size == 0 || (map.size | map.iova | map.vaddr) % kPage != 0) return -EINVAL;
  if (map.iova + map.size - 1 < map.iova || map.vaddr + map.size - 1 < map.vaddr) return -EINVAL;
  for (const FakeDmaMapping& dma : dma_) {
    if (dma.iova < map.iova + map.size && map.iova < dma.iova + dma.size) return -EEXIST;
  }
  for (const auto& [start, end] : kernel_.host.reserved_iova) {
    if (start < map.iova + map.size && map.iova < end) return -EINVAL;
  }
  if (!kernel_.IsMapped(map.vaddr, map.size)) return -EFAULT;
  dma_.push_back({map.iova, map.size, map.vaddr});
  return 0;
}

std::vector<std::pair<std::uint64_t, std::uint64_t>> MappableIova(const FakeHost& host) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  std::uint64_t next = 0;
  for (const auto& [start, end] : host.reserved_iova) {
    if (start > next) ranges.emplace_back(next, start - 1);
    next = end;
  }
  if (next <= host.last_iova) ranges.emplace_back(next, host.last_iova);
  return ranges;
}

// vfio_iommu_type1_get_info: all of the chain or none of it.
long FakeContainer::GetInfo(void* argument) const {
  auto info = CopyIn<vfio_iommu_type1_info>(argument);
  if (info.argsz < offsetof(vfio_iommu_type1_info, cap_offset)) return -EINVAL;
  const auto ranges = MappableIova(kernel_.host);
  vfio_info_cap_header other{};
  other.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL;
  vfio_iommu_type1_info_cap_iova_range cap;
  cap.header = {VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 0};
  cap.nr_iovas = static_cast<std::uint32_t>(ranges.size());
  cap.reserved = 0;
  const std::size_t range_bytes = ranges.size() * sizeof(vfio_iova_range);
  const std::size_t needed = sizeof(info) + sizeof(other) + sizeof(cap) + range_bytes;
  info.flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
  info.iova_pgsizes = kPage;
  info.cap_offset = 0;
  if (info.argsz >= needed) {
    info.cap_offset = sizeof(info);
    other.next = sizeof(info) + sizeof(other);
    auto* out = static_cast<std::byte*>(argument) + sizeof(info);
    CopyOut(out, other);
    CopyOut(out + sizeof(other), cap);
    out += sizeof(other) + sizeof(cap);
    for (const auto& [start, last] : ranges) {
      CopyOut(out, vfio_iova_range{start, last});
      out += sizeof(vfio_iova_range);
    }
  } else {
    info.argsz = static_cast<std::uint32_t>(needed);
  }
  CopyOut(argument, info);
  return 0;
}

long FakeContainer::Ioctl(unsigned long request, void* argument) {
  switch (request) {
    case VFIO_GET_API_VERSION:
      return kernel_.host.vfio_version;
    case VFIO_CHECK_EXTENSION:
      return 1;
    case VFIO_SET_IOMMU:
      return SetIommu(reinterpret_cast<unsigned long>(argument));
    case VFIO_IOMMU_GET_INFO:
      if (iommu_ == 0) return -EINVAL;
      return no_iommu_ ? -ENOTTY : GetInfo(argument);
    case VFIO_IOMMU_MAP_DMA:
      if (iommu_ == 0) return -EINVAL;
      if (no_iommu_) return -ENOTTY;
      return MapDma(CopyIn<vfio_iommu_type1_dma_map>(argument));
    default:
      return iommu_ == 0 ? -EINVAL : -ENOTTY;
  }
}

void FakeContainer::Closing() {
  for (FakeGroup* group : kernel_.All<FakeGroup>()) {
    if (group->container() != this) continue;
    kernel_.Violation("container closed before its " + group->name());
    group->container() = nullptr;
  }
}

std::unique_ptr<FakeGroup> FakeGroup::Open(FakeKernel& kernel, unsigned long number, bool no_iommu,
                                           long& error) {
  const auto group = static_cast<unsigned>(number);
  const auto& devices = kernel.host.devices;
  const bool exists = std::any_of(devices.begin(), devices.end(), [&](const FakeDeviceSpec& spec) {
    return spec.group == group && spec.no_iommu == no_iommu;
  });
  if (!exists) error = -ENOENT;
  if (no_iommu && !kernel.host.raw_io) error = -EPERM;
  for (const FakeGroup* open : kernel.All<FakeGroup>()) {
    if (open->number_ == group) error = -EBUSY;
  }
  for (FakeDevice* device : kernel.All<FakeDevice>()) {
    if (device->iommufd() != nullptr && device->spec().group == group) error = -EBUSY;
  }
  if (const auto found = kernel.host.group_errors.find(group);
      found != kernel.host.group_errors.end()) {
    error = -found->second;
  }
  return error != 0 ? nullptr : std::make_unique<FakeGroup>(kernel, group, no_iommu);
}

long FakeGroup::GetStatus(void* argument) const {
  auto status = CopyIn<vfio_group_status>(argument);
  if (status.argsz < sizeof(status)) return -EINVAL;
  status.flags = 0;
  if (container_ != nullptr) {
    status.flags = VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE;
  } else if (!kernel_.host.not_viable[number_]) {
    status.flags = VFIO_GROUP_FLAGS_VIABLE;
  }
  CopyOut(argument, status);
  return 0;
}

long FakeGroup::SetContainer(int fd) {
  if (container_ != nullptr) return -EINVAL;
  auto* container = kernel_.Find<FakeContainer>(fd);
  if (container == nullptr) return -EBADFD;
  if (kernel_.host.not_viable[number_]) return -EBUSY;
  const long result = container->Attach(no_iommu_);
  if (result == 0) container_ = container;
  return result;
}

long FakeGroup::GetDevice(const char* device) {
  for (const FakeDeviceSpec& spec : kernel_.host.devices) {
    if (spec.name != device || spec.group != number_) continue;
    if (container_ == nullptr || !container_->has_iommu()) return -EINVAL;
    return kernel_.Install(NewNumber(), std::make_unique<FakeDevice>(kernel_, this, spec));
  }
  return -ENODEV;
}

long FakeGroup::Ioctl(unsigned long request, void* argument) {
  switch (request) {
    case VFIO_GROUP_GET_STATUS:
      return GetStatus(argument);
    case VFIO_GROUP_SET_CONTAINER:
      return SetContainer(CopyIn<int>(argument));
    case VFIO_GROUP_GET_DEVICE_FD:
      return GetDevice(static_cast<const char*>(argument));
    default:
      return -ENOTTY;
  }
}

void FakeGroup::Closing() {
  for (FakeDevice* device : kernel_.All<FakeDevice>()) {
    if (device->group() != this) continue;
    kernel_.Violation(name() + " closed before its device " + device->name());
    device->group() = nullptr;
  }
}

}  // namespace microvm::fakes
