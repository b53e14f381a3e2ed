// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_kvm.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tests/fakes/fake_vfio.h"
#include "vmm/host/error.h"
#include "vmm/kvm/arm64_uapi.h"

namespace microvm::fakes {

long FakeKvm::CheckExtension(int capability) const {
  if (const auto found = kernel_.host.capabilities.find(capability);
      found != kernel_.host.capabilities.end()) {
    return found->second;
  }
  switch (capability) {
    case KVM_CAP_ARM_VM_IPA_SIZE:
      return kernel_.host.ipa_bits;
    case KVM_CAP_MAX_VCPUS:
      return kernel_.host.max_vcpus;
    case KVM_CAP_ARM_SVE:
    case KVM_CAP_ARM_PTRAUTH_ADDRESS:
    case KVM_CAP_ARM_PTRAUTH_GENERIC:
    case KVM_CAP_ARM_PMU_V3:
    case KVM_CAP_ONE_REG:
    case KVM_CAP_ARM_PSCI_0_2:
    case KVM_CAP_READONLY_MEM:
    case KVM_CAP_IRQFD:
    case KVM_CAP_IRQFD_RESAMPLE:
    case KVM_CAP_IMMEDIATE_EXIT:
    case KVM_CAP_DEVICE_CTRL:
    case KVM_CAP_ARM_NISV_TO_USER:
    case KVM_CAP_ARM_INJECT_EXT_DABT:
      return 1;
    default:
      return 0;
  }
}

long FakeKvm::CreateVm(unsigned long type) {
  const unsigned long bits = type == 0 ? 40 : type;
  // arch/arm64/kvm/reset.c: kvm_init_ipa_range.
  if ((type & ~KVM_VM_TYPE_ARM_IPA_SIZE_MASK) != 0) return -EINVAL;
  if (bits < 32 || bits > kernel_.host.ipa_bits) return -EINVAL;
  return kernel_.Install(NewNumber(),
                         std::make_unique<FakeVm>(kernel_, static_cast<unsigned>(bits)));
}

long FakeKvm::Ioctl(unsigned long request, void* argument) {
  const auto number = reinterpret_cast<unsigned long>(argument);
  switch (request) {
    case KVM_GET_API_VERSION:
      return number != 0 ? -EINVAL : kernel_.host.kvm_version;
    case KVM_CHECK_EXTENSION:
      return CheckExtension(static_cast<int>(number));
    case KVM_GET_VCPU_MMAP_SIZE:
      return number != 0 ? -EINVAL : static_cast<long>(2 * kPage);  // and the coalesced ring
    case KVM_CREATE_VM:
      return CreateVm(number);
    default:
      return -EINVAL;
  }
}

void FakeKvm::Closing() {
  if (!kernel_.All<FakeVm>().empty()) kernel_.Violation("kvm closed before its vm");
}

long FakeVm::CreateVcpu(unsigned long id) {
  if (vgic_initialized) return -EBUSY;
  if (id >= kernel_.host.max_vcpus) return -EINVAL;
  if (!vcpu_ids_.insert(id).second) return -EEXIST;
  std::vector<VcpuExit> script;
  auto& scripts = kernel_.scripts_[static_cast<unsigned>(id)];
  if (!scripts.empty()) {
    script = std::move(scripts.front());
    scripts.pop_front();
  }
  auto vcpu =
      std::make_unique<FakeVcpu>(kernel_, *this, static_cast<unsigned>(id), std::move(script));
  return kernel_.Install(NewNumber(), std::move(vcpu));
}

long FakeVm::SetMemory(const kvm_userspace_memory_region& region) {
  constexpr std::uint32_t kKnown = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY;
  if ((region.flags & ~kKnown) != 0) return -EINVAL;
  const std::uint64_t end = region.guest_phys_addr + region.memory_size;
  if ((region.memory_size | region.guest_phys_addr | region.userspace_addr) % kPage != 0) {
    return -EINVAL;
  }
  if (region.slot > 0x7fff || end < region.guest_phys_addr || region.memory_size == 0) {
    return -EINVAL;
  }
  for (const FakeMemslot& slot : memslots_) {
    if (slot.slot == region.slot) return -EINVAL;  // a change, which this program never makes
    if (slot.guest < end && region.guest_phys_addr < slot.guest + slot.size) return -EEXIST;
  }
  if (end > std::uint64_t{1} << ipa_bits_) return -EFAULT;
  if (!kernel_.IsMapped(region.userspace_addr, region.memory_size)) {
    kernel_.Violation("memslot of memory that is not mapped");
  }
  memslots_.push_back(
      {region.slot, region.guest_phys_addr, region.memory_size, region.userspace_addr});
  return 0;
}

long FakeVm::SetIrqfd(const kvm_irqfd& args) {
  constexpr std::uint32_t kKnown = KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE;
  if ((args.flags & ~kKnown) != 0) return -EINVAL;
  const int trigger = static_cast<int>(args.fd);
  if ((args.flags & KVM_IRQFD_FLAG_DEASSIGN) != 0) {
    if (!kernel_.IsEventFd(trigger)) return -EINVAL;
    const auto before = irqfds_.size();
    std::erase_if(irqfds_, [&](const FakeIrqfd& irqfd) {
      return irqfd.trigger == trigger && irqfd.spi == args.gsi;
    });
    if (irqfds_.size() == before) kernel_.Violation("deassign of an irqfd that is not there");
    return 0;
  }
  if (!vgic_initialized) return -EAGAIN;
  if (!kernel_.IsEventFd(trigger)) return trigger < 0 ? -EBADF : -EINVAL;
  const bool resample = (args.flags & KVM_IRQFD_FLAG_RESAMPLE) != 0;
  if (resample && !kernel_.IsEventFd(static_cast<int>(args.resamplefd))) return -EINVAL;
  const bool busy = std::any_of(irqfds_.begin(), irqfds_.end(),
                                [&](const FakeIrqfd& irqfd) { return irqfd.trigger == trigger; });
  if (busy) return -EBUSY;
  // The kernel takes any number; an interrupt beyond the vGIC's would be lost without a word.
  if (args.gsi >= vgic->spis()) kernel_.Violation("irqfd for an SPI that the vgic does not have");
  irqfds_.push_back({trigger, resample ? static_cast<int>(args.resamplefd) : -1, args.gsi});
  return 0;
}

// virt/kvm/eventfd.c: kvm_ioeventfd and ioeventfd_check_collision.
long FakeVm::SetIoeventfd(const kvm_ioeventfd& args) {
  constexpr std::uint32_t kKnown = KVM_IOEVENTFD_FLAG_DEASSIGN | KVM_IOEVENTFD_FLAG_DATAMATCH;
  std::optional<std::uint64_t> value;
  if ((args.flags & KVM_IOEVENTFD_FLAG_DATAMATCH) != 0) value = args.datamatch;
  if (args.len != 0 && args.len != 1 && args.len != 2 && args.len != 4 && args.len != 8) {
    return -EINVAL;
  }
  if (args.addr + args.len < args.addr) return -EINVAL;
  if ((args.flags & ~kKnown) != 0) return -EINVAL;
  if (!kernel_.IsEventFd(args.fd)) return -EINVAL;
  const auto same = [&](const FakeIoeventfd& entry) {
    return entry.address == args.addr && entry.length == args.len &&
           (!entry.value || !value || entry.value == value);
  };
  if ((args.flags & KVM_IOEVENTFD_FLAG_DEASSIGN) != 0) {
    const bool found = std::erase_if(ioeventfds_, [&](const FakeIoeventfd& entry) {
                         return same(entry) && entry.eventfd == args.fd;
                       }) > 0;
    return found ? 0 : -ENOENT;
  }
  if (std::any_of(ioeventfds_.begin(), ioeventfds_.end(), same)) return -EEXIST;
  ioeventfds_.push_back({args.fd, args.addr, args.len, value});
  return 0;
}

bool FakeVm::TakesWrite(const kvm_run& run) const {
  if (run.exit_reason != KVM_EXIT_MMIO || run.mmio.is_write == 0) return false;
  for (const FakeIoeventfd& entry : ioeventfds_) {
    if (entry.address != run.mmio.phys_addr || entry.length != run.mmio.len) continue;
    std::uint32_t written = 0;
    std::memcpy(&written, &run.mmio.data[0], sizeof(written));
    if (entry.value && *entry.value != written) continue;
    const std::uint64_t one = 1;
    return ::write(entry.eventfd, &one, sizeof(one)) == sizeof(one);
  }
  return false;
}

long FakeVm::SetIrqLine(const kvm_irq_level& line) {
  const std::uint32_t type = line.irq >> 24 & 0xf;
  const std::uint32_t number = line.irq & 0xffff;
  if (type != 1) return -EINVAL;  // KVM_ARM_IRQ_TYPE_SPI
  if (vgic == nullptr) return -ENXIO;
  if (number < 32) return -EINVAL;
  if (!vgic_initialized) return -EBUSY;
  if (number - 32 >= vgic->spis()) return -EINVAL;
  kernel_.irq_lines_.emplace_back(number, line.level != 0);
  return 0;
}

long FakeVm::CreateDevice(void* argument) {
  auto create = CopyIn<kvm_create_device>(argument);
  const bool v2 = create.type == KVM_DEV_TYPE_ARM_VGIC_V2;
  if (!v2 && create.type != KVM_DEV_TYPE_ARM_VGIC_V3) return -ENODEV;
  if (!(v2 ? kernel_.host.has_vgic_v2 : kernel_.host.has_vgic_v3)) return -ENODEV;
  if ((create.flags & KVM_CREATE_DEVICE_TEST) != 0) return 0;
  if (vgic != nullptr) return -EEXIST;
  auto device = std::make_unique<FakeVgic>(kernel_, *this, v2);
  vgic = device.get();
  create.fd = static_cast<std::uint32_t>(kernel_.Install(NewNumber(), std::move(device)));
  CopyOut(argument, create);
  return 0;
}

long FakeVm::Ioctl(unsigned long request, void* argument) {
  switch (request) {
    case KVM_ENABLE_CAP: {
      const auto cap = CopyIn<kvm_enable_cap>(argument);
      if (cap.flags != 0 || cap.cap != KVM_CAP_ARM_NISV_TO_USER) return -EINVAL;
      nisv_to_user = true;
      return 0;
    }
    case KVM_CREATE_VCPU:
      return CreateVcpu(reinterpret_cast<unsigned long>(argument));
    case KVM_SET_USER_MEMORY_REGION:
      return SetMemory(CopyIn<kvm_userspace_memory_region>(argument));
    case KVM_IRQFD:
      return SetIrqfd(CopyIn<kvm_irqfd>(argument));
    case KVM_IOEVENTFD:
      return SetIoeventfd(CopyIn<kvm_ioeventfd>(argument));
    case KVM_IRQ_LINE:
      return SetIrqLine(CopyIn<kvm_irq_level>(argument));
    case KVM_CREATE_DEVICE:
      return CreateDevice(argument);
    case arm64::kKvmArmPreferredTarget: {
      arm64::VcpuInit init{};
      init.target = 5;  // KVM_ARM_TARGET_GENERIC_V8
      CopyOut(argument, init);
      return 0;
    }
    default:
      return -ENOTTY;
  }
}

void FakeVm::Closing() {
  for (const FakeIrqfd& irqfd : irqfds_) {
    kernel_.Violation("vm closed before its irqfd " + std::to_string(irqfd.spi));
  }
  if (!ioeventfds_.empty()) kernel_.Violation("vm closed before its ioeventfds");
  for (FakeVcpu* vcpu : kernel_.All<FakeVcpu>()) {
    if (vcpu->vm() != this) continue;
    kernel_.Violation("vm closed before its " + vcpu->name());
    vcpu->vm() = nullptr;
  }
  if (vgic != nullptr) {
    kernel_.Violation("vm closed before its vgic");
    vgic->vm() = nullptr;
  }
  for (FakeDevice* device : kernel_.All<FakeDevice>()) {
    if (device->armed()) kernel_.Violation("vm closed while " + device->name() + " may interrupt");
  }
}

long FakeVgic::SetInterruptCount(std::uint32_t count) {
  if (count < 64 || count > 1023 || count % 32 != 0) return -EINVAL;
  if (spis_ != 0) return -EBUSY;
  spis_ = count - 32;
  return 0;
}

// kvm_vgic_addr, vgic_check_iorange: pages, below the limit, each once.
long FakeVgic::SetAddressV2(std::uint64_t attribute, std::uint64_t value) {
  if (attribute > arm64::kVgicV2AddressCpu) return -ENODEV;
  std::uint64_t& place = attribute == arm64::kVgicV2AddressDist ? distributor_ : redistributors_;
  if (place != 0) return -EEXIST;
  if (value % kPage != 0) return -EINVAL;
  if (value + 2 * kPage > std::uint64_t{1} << vm_->ipa_bits()) return -E2BIG;
  place = value;
  return 0;
}

long FakeVgic::SetAddress(std::uint64_t attribute, std::uint64_t value) {
  if (v2_) return SetAddressV2(attribute, value);
  constexpr std::uint64_t kFrame = 0x10000;
  const std::uint64_t limit = std::uint64_t{1} << vm_->ipa_bits();
  if (attribute == arm64::kVgicV3AddressDist) {
    if (distributor_ != 0) return -EEXIST;
    if (value % kFrame != 0) return -EINVAL;
    if (value + kFrame > limit) return -E2BIG;
    distributor_ = value;
    return 0;
  }
  if (attribute != arm64::kVgicV3AddressRedistRegion) return -ENXIO;
  const std::uint64_t count = value >> 52;
  const std::uint64_t base = value & 0xf'ffff'ffff'0000;
  if (count == 0 || (value & 0xffff) != 0) return -EINVAL;  // flags, and one region only
  if (redistributors_ != 0) return -EINVAL;
  if (base + count * 2 * kFrame > limit) return -E2BIG;
  redistributors_ = count;
  return 0;
}

// vgic_v3_attr_regs_access: every vCPU is locked, which one that runs does not allow.
long FakeVgic::GetAttribute(const kvm_device_attr& attr) {
  if (attr.flags != 0) return -EINVAL;
  const bool known =
      attr.group == arm64::kVgicGroupDistRegs || (attr.group == arm64::kVgicGroupLevelInfo && !v2_);
  if (!known) return -ENXIO;
  if (attr.group == arm64::kVgicGroupLevelInfo && attr.attr % 32 != 0) return -EINVAL;
  if (!vm_->vgic_initialized) return -EBUSY;
  for (const FakeVcpu* vcpu : kernel_.All<FakeVcpu>()) {
    if (vcpu->running()) return -EBUSY;
  }
  const auto found = kernel_.host.vgic_registers.find({attr.group, attr.attr});
  CopyOut(reinterpret_cast<void*>(attr.addr),
          found == kernel_.host.vgic_registers.end() ? std::uint32_t{0} : found->second);
  return 0;
}

long FakeVgic::Ioctl(unsigned long request, void* argument) {
  if (request == KVM_GET_DEVICE_ATTR) return GetAttribute(CopyIn<kvm_device_attr>(argument));
  if (request != KVM_SET_DEVICE_ATTR) return -ENOTTY;
  const auto attr = CopyIn<kvm_device_attr>(argument);
  if (attr.flags != 0) return -EINVAL;
  const auto* value = reinterpret_cast<const void*>(attr.addr);
  switch (attr.group) {
    case arm64::kVgicGroupNrIrqs:
      return value == nullptr ? -EFAULT : SetInterruptCount(CopyIn<std::uint32_t>(value));
    case arm64::kVgicGroupAddress:
      return value == nullptr ? -EFAULT : SetAddress(attr.attr, CopyIn<std::uint64_t>(value));
    case arm64::kVgicGroupControl:
      if (attr.attr != arm64::kVgicControlInit) return -ENXIO;
      if (spis_ == 0) spis_ = 224;  // VGIC_NR_IRQS_LEGACY
      vm_->vgic_initialized = true;
      return 0;
    case arm64::kVgicGroupDistRegs:
      if (value == nullptr) return -EFAULT;
      if (!vm_->vgic_initialized) return -EBUSY;
      kernel_.registers_[{~0U, attr.attr}] = CopyIn<std::uint32_t>(value);
      return 0;
    default:
      return -ENXIO;
  }
}

void FakeVgic::Closing() {
  if (vm_ != nullptr) vm_->vgic = nullptr;
}

}  // namespace microvm::fakes
