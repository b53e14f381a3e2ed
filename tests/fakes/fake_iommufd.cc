// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "devices/vfio/iommufd_uapi.h"
#include "tests/fakes/fake_vfio.h"

namespace microvm::fakes {

long FakeIommufd::AllocIoas(void* argument) {
  auto alloc = CopyIn<iommufd::IoasAlloc>(argument);
  if (alloc.size < sizeof(alloc)) return -EINVAL;
  if (alloc.flags != 0) return -EOPNOTSUPP;
  alloc.out_ioas_id = static_cast<std::uint32_t>(ioas_.size()) + 1;
  ioas_[alloc.out_ioas_id] = {};
  CopyOut(argument, alloc);
  return 0;
}

// iommufd_ioas_map, iopt_map_user_pages.
long FakeIommufd::Map(void* argument) {
  const auto map = CopyIn<iommufd::IoasMap>(argument);
  constexpr std::uint32_t kAccess = iommufd::kMapReadable | iommufd::kMapWriteable;
  if (map.size < sizeof(map)) return -EINVAL;
  if ((map.flags & ~(kAccess | iommufd::kMapFixedIova)) != 0 || map.reserved != 0) {
    return -EOPNOTSUPP;
  }
  if ((map.flags & kAccess) == 0) return -EINVAL;
  const auto ioas = ioas_.find(map.ioas_id);
  if (ioas == ioas_.end()) return -ENOENT;
  if ((map.flags & iommufd::kMapFixedIova) == 0) kernel_.Violation("a mapping at any address");
  if (map.length == 0 || (map.length | map.iova | map.user_va) % kPage != 0) return -EINVAL;
  const std::uint64_t last = map.iova + map.length - 1;
  if (last < map.iova) return -EOVERFLOW;
  for (const FakeDmaMapping& dma : ioas->second) {
    if (dma.iova <= last && map.iova < dma.iova + dma.size) return -EEXIST;
  }
  const auto ranges = MappableIova(kernel_.host);
  if (std::none_of(ranges.begin(), ranges.end(), [&](const auto& range) {
        return map.iova >= range.first && last <= range.second;
      })) {
    return -EINVAL;
  }
  if (!kernel_.IsMapped(map.user_va, map.length)) return -EFAULT;
  ioas->second.push_back({map.iova, map.length, map.user_va});
  return 0;
}

long FakeIommufd::IovaRanges(void* argument) {
  auto query = CopyIn<iommufd::IoasIovaRanges>(argument);
  if (query.size < sizeof(query)) return -EINVAL;
  if (query.reserved != 0) return -EOPNOTSUPP;
  if (!HasIoas(query.ioas_id)) return -ENOENT;
  const auto ranges = MappableIova(kernel_.host);
  const std::uint32_t room = query.num_iovas;
  auto* out = reinterpret_cast<iommufd::IovaRange*>(query.allowed_iovas);
  for (std::size_t index = 0; index < std::min<std::size_t>(room, ranges.size()); ++index) {
    CopyOut(out + index, iommufd::IovaRange{ranges[index].first, ranges[index].second});
  }
  query.num_iovas = static_cast<std::uint32_t>(ranges.size());
  query.out_iova_alignment = kPage;
  CopyOut(argument, query);
  return query.num_iovas > room ? -EMSGSIZE : 0;
}

long FakeIommufd::Ioctl(unsigned long request, void* argument) {
  switch (request) {
    case iommufd::kIoasAlloc:
      return AllocIoas(argument);
    case iommufd::kIoasMap:
      return Map(argument);
    case iommufd::kIoasIovaRanges:
      return IovaRanges(argument);
    default:
      return -ENOTTY;
  }
}

std::vector<FakeDmaMapping> FakeIommufd::dma() const {
  std::vector<FakeDmaMapping> all;
  for (const auto& [id, mappings] : ioas_) all.insert(all.end(), mappings.begin(), mappings.end());
  return all;
}

void FakeIommufd::Closing() {
  for (FakeDevice* device : kernel_.All<FakeDevice>()) {
    if (device->iommufd() != this) continue;
    kernel_.Violation("iommufd closed before its device " + device->name());
    device->iommufd() = nullptr;
  }
}

std::unique_ptr<FakeDevice> FakeDevice::OpenCdev(FakeKernel& kernel, unsigned long number,
                                                 long& error) {
  error = kernel.host.cdev_error;
  for (const FakeDeviceSpec& spec : kernel.host.devices) {
    if (error == 0 && spec.cdev == number) {
      return std::make_unique<FakeDevice>(kernel, nullptr, spec);
    }
  }
  if (error == 0) error = ENOENT;
  return nullptr;
}

// vfio_df_ioctl_bind_iommufd, iommufd_device_bind.
long FakeDevice::Bind(void* argument) {
  auto bind = CopyIn<iommufd::BindIommufd>(argument);
  if (bind.argsz < sizeof(bind) || bind.flags != 0 || bind.iommufd < 0) return -EINVAL;
  if (group_ != nullptr || bound_) return -EINVAL;
  for (const FakeGroup* group : kernel_.All<FakeGroup>()) {
    if (group->number() == spec_.group) return -EBUSY;
  }
  auto* iommufd = kernel_.Find<FakeIommufd>(bind.iommufd);
  if (iommufd == nullptr) return -EBADFD;
  for (FakeDevice* other : kernel_.All<FakeDevice>()) {
    if (other != this && other->bound_ && other->name() == name()) return -EINVAL;
  }
  if (!kernel_.host.coherent_iommu) return -EINVAL;
  if (!kernel_.host.isolates_msi || kernel_.host.not_viable[spec_.group]) return -EPERM;
  iommufd_ = iommufd;
  bound_ = true;
  bind.out_devid = 100 + *spec_.cdev;
  CopyOut(argument, bind);
  return 0;
}

long FakeDevice::Attach(void* argument) {
  const auto attach = CopyIn<iommufd::AttachPt>(argument);
  if (attach.argsz < sizeof(attach) || attach.flags != 0 || attached_) return -EINVAL;
  if (iommufd_ == nullptr || !iommufd_->HasIoas(attach.pt_id)) return -ENOENT;
  attached_ = true;
  return 0;
}

}  // namespace microvm::fakes
