// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/ioas.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>

#include "devices/vfio/iommufd_uapi.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

// Every reserved window makes one range more; hosts have a handful.
constexpr std::size_t kExpectedRanges = 16;

Fd OpenCdev(HostKernel& kernel, const HostSysfs& sysfs, const HostDevice& device) {
  if (device.vfio_device.empty()) {
    throw Error("VFIO has made no character device for it",
                "the kernel needs CONFIG_VFIO_DEVICE_CDEV and CONFIG_IOMMUFD, the device an IOMMU "
                "before it and VFIO's driver: microvm device bind " +
                    device.name);
  }
  const std::string path = sysfs.CdevPath(device);
  const Error context("its character device cannot be opened",
                      "run as root, or: chown USER " + path);
  return WithContext(context, [&] { return OpenFd(kernel, path, O_RDWR); });
}

// A number from a configuration may be anything's: another device's, a file's, nothing's.
void CheckIsDevice(const Fd& cdev, const HostSysfs& sysfs, const HostDevice& device) {
  struct stat status {};
  const std::string which = "descriptor " + std::to_string(cdev.get());
  if (cdev.kernel().Fstat(cdev.get(), &status) != 0) ThrowErrno("fstat");
  const std::string number =
      std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev));
  if (S_ISCHR(status.st_mode) && number == sysfs.CdevNumber(device)) return;
  throw Error(which + " is not the VFIO device of '" + device.name + "'",
              device.vfio_device.empty()
                  ? "the device has none: microvm device bind " + device.name
                  : "pass the open " + sysfs.CdevPath(device) + " as this descriptor");
}

}  // namespace

Fd Ioas::OpenIommufd(HostKernel& kernel) {
  return OpenDeviceFile(kernel, "/dev/iommu",
                        Error("no permission to use iommufd",
                              "run as root, or have a launcher pass iommu_fd and device_fd"),
                        Error("this host offers no iommufd",
                              "the kernel needs CONFIG_IOMMUFD; backend = \"group\" does without"));
}

Ioas::Ioas(const Fd& iommufd, const HostSysfs& sysfs) : iommufd_(iommufd), sysfs_(sysfs) {
  iommufd::IoasAlloc alloc{};
  alloc.size = sizeof(alloc);
  const Error context("iommufd gives no address space",
                      "if its descriptor was passed in, was it that of an open /dev/iommu?");
  WithContext(context, [&] {
    CheckedIoctl(iommufd_, {iommufd::kIoasAlloc, "IOMMU_IOAS_ALLOC"}, &alloc);
  });
  id_ = alloc.out_ioas_id;
}

Fd Ioas::OpenDevice(const HostDevice& device) {
  return Attach(OpenCdev(iommufd_.kernel(), sysfs_, device), device);
}

Fd Ioas::AdoptDevice(Fd cdev, const HostDevice& device) {
  CheckIsDevice(cdev, sysfs_, device);
  return Attach(std::move(cdev), device);
}

Fd Ioas::Attach(Fd cdev, const HostDevice& device) {
  iommufd::BindIommufd bind{};
  bind.argsz = sizeof(bind);
  bind.iommufd = iommufd_.get();
  try {
    CheckedIoctl(cdev, {iommufd::kDeviceBindIommufd, "VFIO_DEVICE_BIND_IOMMUFD"}, &bind);
  } catch (const std::exception& error) {
    ThrowBindFailed(error, device);
  }
  iommufd::AttachPt attach{};
  attach.argsz = sizeof(attach);
  attach.pt_id = id_;
  const Error context("its IOMMU cannot give it an address space of its own",
                      "every device of its IOMMU group must belong to this machine\nif another of "
                      "them has a different dma mode, give all the same");
  WithContext(context, [&] {
    CheckedIoctl(cdev, {iommufd::kDeviceAttachPt, "VFIO_DEVICE_ATTACH_IOMMUFD_PT"}, &attach);
  });
  return cdev;
}

void Ioas::ThrowBindFailed(const std::exception& error, const HostDevice& device) const {
  // The owner of a group's DMA is one: a driver of the host is EPERM, as an IOMMU without isolated
  // MSIs is (drivers/iommu/iommu.c: iommu_device_claim_dma_owner).
  const std::vector<GroupHolder> held = sysfs_.HeldInGroup(device);
  if (ErrnoOf(error) == EPERM && !held.empty()) {
    std::throw_with_nested(GroupNotViable(device, held));
  }
  const std::vector<std::string> users = sysfs_.Users(device);
  // A second user of the device itself is EINVAL (drivers/vfio/vfio_main.c: vfio_df_open).
  const int number = ErrnoOf(error) == EINVAL && !users.empty() ? EBUSY : ErrnoOf(error);
  switch (number) {
    case EPERM:
      std::throw_with_nested(
          Error("the host's IOMMU does not isolate message-signalled interrupts for this device",
                "if the device cannot send MSIs (most platform devices cannot), allow it:\n"
                "echo 1 > /sys/module/iommufd/parameters/allow_unsafe_interrupts\n"
                "or, on the kernel's command line: iommufd.allow_unsafe_interrupts=1"));
    case EBUSY:
      std::throw_with_nested(Error("it, or its IOMMU group, is already in use" + ByProcesses(users),
                                   "stop the process that has it"));
    case EINVAL:
      std::throw_with_nested(Error(
          "iommufd does not take it",
          "its IOMMU may not be coherent with the CPU's caches: backend = \"group\" asks for no "
          "such thing\nif the kernel wants a reset driver, on its command line: "
          "vfio-platform.reset_required=0; see: dmesg | tail"));
    default:
      std::throw_with_nested(Error("the device cannot be opened",
                                   "see: dmesg | tail\nif the kernel asks for a reset driver, on "
                                   "its command line: vfio-platform.reset_required=0"));
  }
}

void Ioas::MapDma(const AddressRange& guest, void* memory) {
  iommufd::IoasMap map{};
  map.size = sizeof(map);
  map.flags = iommufd::kMapFixedIova | iommufd::kMapReadable | iommufd::kMapWriteable;
  map.ioas_id = id_;
  map.user_va = reinterpret_cast<std::uintptr_t>(memory);
  map.length = guest.size_bytes();
  map.iova = guest.start().value;
  const Error context("cannot map the guest's memory for DMA at " + ToString(guest),
                      "ENOMEM: raise the limit on locked memory (ulimit -l unlimited) or run as "
                      "root\nEINVAL, EADDRINUSE: the range meets a window that the IOMMU reserves; "
                      "see /sys/kernel/iommu_groups/*/reserved_regions");
  WithContext(context, [&] {
    CheckedIoctl(iommufd_, {iommufd::kIoasMap, "IOMMU_IOAS_MAP"}, &map);
  });
}

std::vector<AddressRange> Ioas::MappableRanges() const {
  std::vector<iommufd::IovaRange> found(kExpectedRanges);
  for (;;) {
    iommufd::IoasIovaRanges query{};
    query.size = sizeof(query);
    query.ioas_id = id_;
    query.num_iovas = static_cast<std::uint32_t>(found.size());
    query.allowed_iovas = reinterpret_cast<std::uintptr_t>(found.data());
    try {
      CheckedIoctl(iommufd_, {iommufd::kIoasIovaRanges, "IOMMU_IOAS_IOVA_RANGES"}, &query);
    } catch (const std::exception& error) {
      if (ErrnoOf(error) != EMSGSIZE || query.num_iovas <= found.size()) throw;
      found.resize(query.num_iovas);
      continue;
    }
    found.resize(query.num_iovas);
    break;
  }
  std::vector<AddressRange> ranges;
  for (const iommufd::IovaRange& range : found) {
    // A range that is all 64 bits has a size that no integer holds: its last byte is left out.
    const std::uint64_t size = range.last - range.start;
    ranges.emplace_back(GuestAddress{range.start}, size == ~std::uint64_t{0} ? size : size + 1);
  }
  return ranges;
}

}  // namespace microvm
