// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_object.h"

#include <linux/gpio.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <stdexcept>

#include "devices/vfio/iommufd_uapi.h"
#include "devices/virtio/vhost_uapi.h"
#include "vmm/host/error.h"
#include "vmm/kvm/arm64_uapi.h"

namespace microvm::fakes {
namespace {

const std::map<unsigned long, const char*>& Names() {
  static const std::map<unsigned long, const char*> names = {
      {KVM_GET_API_VERSION, "KVM_GET_API_VERSION"},
      {KVM_CREATE_VM, "KVM_CREATE_VM"},
      {KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION"},
      {KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE"},
      {KVM_CREATE_VCPU, "KVM_CREATE_VCPU"},
      {KVM_SET_USER_MEMORY_REGION, "KVM_SET_USER_MEMORY_REGION"},
      {KVM_ENABLE_CAP, "KVM_ENABLE_CAP"},
      {KVM_IRQ_LINE, "KVM_IRQ_LINE"},
      {KVM_IRQFD, "KVM_IRQFD"},
      {KVM_IOEVENTFD, "KVM_IOEVENTFD"},
      {KVM_CREATE_DEVICE, "KVM_CREATE_DEVICE"},
      {KVM_SET_DEVICE_ATTR, "KVM_SET_DEVICE_ATTR"},
      {KVM_GET_DEVICE_ATTR, "KVM_GET_DEVICE_ATTR"},
      {KVM_RUN, "KVM_RUN"},
      {KVM_GET_ONE_REG, "KVM_GET_ONE_REG"},
      {KVM_SET_ONE_REG, "KVM_SET_ONE_REG"},
      {arm64::kKvmArmVcpuInit, "KVM_ARM_VCPU_INIT"},
      {arm64::kKvmArmPreferredTarget, "KVM_ARM_PREFERRED_TARGET"},
      {arm64::kKvmArmVcpuFinalize, "KVM_ARM_VCPU_FINALIZE"},
      {arm64::kKvmSetVcpuEvents, "KVM_SET_VCPU_EVENTS"},
      {GPIO_GET_CHIPINFO_IOCTL, "GPIO_GET_CHIPINFO"},
      {GPIO_V2_GET_LINEINFO_IOCTL, "GPIO_V2_GET_LINEINFO"},
      {GPIO_V2_GET_LINE_IOCTL, "GPIO_V2_GET_LINE"},
      {GPIO_V2_LINE_SET_CONFIG_IOCTL, "GPIO_V2_LINE_SET_CONFIG"},
      {GPIO_V2_LINE_SET_VALUES_IOCTL, "GPIO_V2_LINE_SET_VALUES"},
      {GPIO_V2_LINE_GET_VALUES_IOCTL, "GPIO_V2_LINE_GET_VALUES"},
      {VFIO_GET_API_VERSION, "VFIO_GET_API_VERSION"},
      {VFIO_CHECK_EXTENSION, "VFIO_CHECK_EXTENSION"},
      {VFIO_SET_IOMMU, "VFIO_SET_IOMMU"},
      {VFIO_GROUP_GET_STATUS, "VFIO_GROUP_GET_STATUS"},
      {VFIO_GROUP_SET_CONTAINER, "VFIO_GROUP_SET_CONTAINER"},
      {VFIO_GROUP_GET_DEVICE_FD, "VFIO_GROUP_GET_DEVICE_FD"},
      {VHOST_GET_FEATURES, "VHOST_GET_FEATURES"},
      {VHOST_SET_FEATURES, "VHOST_SET_FEATURES"},
      {VHOST_SET_OWNER, "VHOST_SET_OWNER"},
      {VHOST_SET_MEM_TABLE, "VHOST_SET_MEM_TABLE"},
      {VHOST_SET_VRING_NUM, "VHOST_SET_VRING_NUM"},
      {VHOST_SET_VRING_ADDR, "VHOST_SET_VRING_ADDR"},
      {VHOST_SET_VRING_BASE, "VHOST_SET_VRING_BASE"},
      {VHOST_SET_VRING_KICK, "VHOST_SET_VRING_KICK"},
      {VHOST_SET_VRING_CALL, "VHOST_SET_VRING_CALL"},
      {VHOST_SET_VRING_ERR, "VHOST_SET_VRING_ERR"},
      {VHOST_VSOCK_SET_GUEST_CID, "VHOST_VSOCK_SET_GUEST_CID"},
      {VHOST_NET_SET_BACKEND, "VHOST_NET_SET_BACKEND"},
      {VHOST_VSOCK_SET_RUNNING, "VHOST_VSOCK_SET_RUNNING"},
      {iommufd::kIoasAlloc, "IOMMU_IOAS_ALLOC"},
      {iommufd::kIoasMap, "IOMMU_IOAS_MAP"},
      {iommufd::kIoasIovaRanges, "IOMMU_IOAS_IOVA_RANGES"},
      {iommufd::kDeviceBindIommufd, "VFIO_DEVICE_BIND_IOMMUFD"},
      {iommufd::kDeviceAttachPt, "VFIO_DEVICE_ATTACH_IOMMUFD_PT"},
      {VFIO_DEVICE_GET_INFO, "VFIO_DEVICE_GET_INFO"},
      {VFIO_DEVICE_GET_REGION_INFO, "VFIO_DEVICE_GET_REGION_INFO"},
      {VFIO_DEVICE_GET_IRQ_INFO, "VFIO_DEVICE_GET_IRQ_INFO"},
      {VFIO_DEVICE_SET_IRQS, "VFIO_DEVICE_SET_IRQS"},
      {VFIO_DEVICE_RESET, "VFIO_DEVICE_RESET"},
      // Its number is also VFIO_DEVICE_GET_PCI_HOT_RESET_INFO's.
      {VFIO_IOMMU_GET_INFO, "VFIO_IOMMU_GET_INFO"},
      // Its number is that of another device class's VFIO_DEVICE_PCI_HOT_RESET.
      {VFIO_IOMMU_MAP_DMA, "VFIO_IOMMU_MAP_DMA"},
      {TUNSETIFF, "TUNSETIFF"},
      {TUNSETVNETHDRSZ, "TUNSETVNETHDRSZ"},
      {TUNSETOFFLOAD, "TUNSETOFFLOAD"},
      {TUNSETQUEUE, "TUNSETQUEUE"},
  };
  return names;
}

std::string DescribeIrqs(const vfio_irq_set& set, const void* argument) {
  std::string text = " " + std::to_string(set.index);
  if ((set.flags & VFIO_IRQ_SET_ACTION_MASK) != 0) text += " mask";
  if ((set.flags & VFIO_IRQ_SET_ACTION_UNMASK) != 0) text += " unmask";
  if ((set.flags & VFIO_IRQ_SET_ACTION_TRIGGER) != 0) text += " trigger";
  if ((set.flags & VFIO_IRQ_SET_DATA_EVENTFD) != 0) {
    const auto fd =
        CopyIn<std::int32_t>(static_cast<const std::byte*>(argument) + sizeof(vfio_irq_set));
    return text + (fd >= 0 ? " eventfd" : " no eventfd");
  }
  return set.count == 0 ? text + " off" : text;
}

std::string DescribeArgument(unsigned long request, const void* argument) {
  switch (request) {
    case KVM_CREATE_VCPU:
    case KVM_CHECK_EXTENSION:
    case KVM_CREATE_VM:
    case VFIO_SET_IOMMU:
      return " " + std::to_string(reinterpret_cast<std::uintptr_t>(argument));
    case KVM_SET_USER_MEMORY_REGION: {
      const auto region = CopyIn<kvm_userspace_memory_region>(argument);
      return " " + Hex(region.guest_phys_addr) + "+" + Hex(region.memory_size) +
             ((region.flags & KVM_MEM_READONLY) != 0 ? " readonly" : "");
    }
    case KVM_GET_DEVICE_ATTR:
    case KVM_SET_DEVICE_ATTR: {
      const auto attr = CopyIn<kvm_device_attr>(argument);
      return " " + std::to_string(attr.group) + "/" + Hex(attr.attr);
    }
    case KVM_IRQFD: {
      const auto irqfd = CopyIn<kvm_irqfd>(argument);
      const bool deassign = (irqfd.flags & KVM_IRQFD_FLAG_DEASSIGN) != 0;
      const bool resample = (irqfd.flags & KVM_IRQFD_FLAG_RESAMPLE) != 0;
      return std::string(deassign ? " deassign" : " assign") + (resample ? " resample" : "") +
             " spi " + std::to_string(irqfd.gsi);
    }
    case KVM_IOEVENTFD: {
      const auto ioeventfd = CopyIn<kvm_ioeventfd>(argument);
      const bool deassign = (ioeventfd.flags & KVM_IOEVENTFD_FLAG_DEASSIGN) != 0;
      return std::string(deassign ? " deassign " : " assign ") + Hex(ioeventfd.addr);
    }
    case VHOST_SET_VRING_NUM:
    case VHOST_SET_VRING_ADDR:
    case VHOST_SET_VRING_BASE:
    case VHOST_SET_VRING_KICK:
    case VHOST_SET_VRING_CALL:
    case VHOST_SET_VRING_ERR:
      return " " + std::to_string(CopyIn<std::uint32_t>(argument));
    case VHOST_VSOCK_SET_GUEST_CID:
      return " " + std::to_string(CopyIn<std::uint64_t>(argument));
    case VHOST_NET_SET_BACKEND: {
      const auto backend = CopyIn<vhost_vring_file>(argument);
      return " " + std::to_string(backend.index) + (backend.fd >= 0 ? " tap" : " none");
    }
    case VHOST_VSOCK_SET_RUNNING:
      return " " + std::to_string(CopyIn<int>(argument));
    case VFIO_DEVICE_SET_IRQS:
      return DescribeIrqs(CopyIn<vfio_irq_set>(argument), argument);
    case VFIO_GROUP_GET_DEVICE_FD:
      return " " + std::string(static_cast<const char*>(argument));
    default:
      return "";
  }
}

}  // namespace

long FakeObject::Ioctl(unsigned long /*request*/, void* /*argument*/) { return -ENOTTY; }

int FakeObject::MapTarget(std::size_t /*length*/, int /*protection*/, int /*flags*/,
                          off_t& /*offset*/) {
  return -ENODEV;
}

ssize_t FakeObject::Pread(void* /*buffer*/, std::size_t /*length*/, off_t /*offset*/) {
  return -EINVAL;
}

ssize_t FakeObject::Pwrite(const void* /*buffer*/, std::size_t /*length*/, off_t /*offset*/) {
  return -EINVAL;
}

std::string DescribeIoctl(unsigned long request, const void* argument) {
  const auto found = Names().find(request);
  if (found == Names().end()) return "ioctl " + Hex(request);
  return found->second + DescribeArgument(request, argument);
}

RealFd::~RealFd() {
  if (raw_ >= 0) ::close(raw_);
}

int MakeMemoryFd(std::size_t length) {
  const int fd = ::memfd_create("fake", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(length)) != 0) {
    throw std::runtime_error("no memory for a fake");
  }
  return fd;
}

}  // namespace microvm::fakes
