// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/vfio.h>

#include <cstdint>

#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#endif

// The parts of iommufd's and VFIO's user API that kernel headers before 6.6 lack. Where the system
// has them, each is checked against them. Source: Linux include/uapi/linux/iommufd.h and vfio.h.
namespace microvm::iommufd {

constexpr unsigned kType = ';';

struct IoasAlloc {
  std::uint32_t size;
  std::uint32_t flags;
  std::uint32_t out_ioas_id;
};
constexpr unsigned long kIoasAlloc = _IO(kType, 0x81);

struct IovaRange {
  std::uint64_t start;
  std::uint64_t last;
};

struct IoasIovaRanges {
  std::uint32_t size;
  std::uint32_t ioas_id;
  std::uint32_t num_iovas;  // in: room; out: how many there are
  std::uint32_t reserved;
  std::uint64_t allowed_iovas;
  std::uint64_t out_iova_alignment;
};
constexpr unsigned long kIoasIovaRanges = _IO(kType, 0x84);

struct IoasMap {
  std::uint32_t size;
  std::uint32_t flags;
  std::uint32_t ioas_id;
  std::uint32_t reserved;
  std::uint64_t user_va;
  std::uint64_t length;
  std::uint64_t iova;
};
constexpr unsigned long kIoasMap = _IO(kType, 0x85);
constexpr std::uint32_t kMapFixedIova = 1U << 0;
constexpr std::uint32_t kMapWriteable = 1U << 1;
constexpr std::uint32_t kMapReadable = 1U << 2;

// On the descriptor of a VFIO device.
struct BindIommufd {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::int32_t iommufd;
  std::uint32_t out_devid;
};
constexpr unsigned long kDeviceBindIommufd = _IO(VFIO_TYPE, VFIO_BASE + 18);

struct AttachPt {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::uint32_t pt_id;
};
constexpr unsigned long kDeviceAttachPt = _IO(VFIO_TYPE, VFIO_BASE + 19);

#ifdef IOMMU_IOAS_MAP
static_assert(sizeof(IoasAlloc) == sizeof(iommu_ioas_alloc));
static_assert(sizeof(IovaRange) == sizeof(iommu_iova_range));
static_assert(sizeof(IoasIovaRanges) == sizeof(iommu_ioas_iova_ranges));
static_assert(sizeof(IoasMap) == sizeof(iommu_ioas_map));
static_assert(kIoasAlloc == IOMMU_IOAS_ALLOC);
static_assert(kIoasIovaRanges == IOMMU_IOAS_IOVA_RANGES);
static_assert(kIoasMap == IOMMU_IOAS_MAP);
static_assert(kMapFixedIova == IOMMU_IOAS_MAP_FIXED_IOVA);
static_assert(kMapWriteable == IOMMU_IOAS_MAP_WRITEABLE);
static_assert(kMapReadable == IOMMU_IOAS_MAP_READABLE);
#endif
#ifdef VFIO_DEVICE_ATTACH_IOMMUFD_PT
static_assert(sizeof(BindIommufd) == sizeof(vfio_device_bind_iommufd));
static_assert(kDeviceBindIommufd == VFIO_DEVICE_BIND_IOMMUFD);
static_assert(sizeof(AttachPt) == sizeof(vfio_device_attach_iommufd_pt));
static_assert(kDeviceAttachPt == VFIO_DEVICE_ATTACH_IOMMUFD_PT);
#endif

}  // namespace microvm::iommufd
