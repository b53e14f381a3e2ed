// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm.h"

#include <array>

#include "vmm/host/error.h"
#include "vmm/kvm/arm64_uapi.h"

namespace microvm {
namespace {

struct Capability {
  int number;
  const char* name;
  const char* purpose;
};

constexpr std::array kRequired = {
    Capability{KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG", "vCPU registers"},
    Capability{KVM_CAP_ARM_PSCI_0_2, "KVM_CAP_ARM_PSCI_0_2", "starting and stopping CPUs"},
    Capability{KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM",
               "registers that are read without an exit"},
    Capability{KVM_CAP_IRQFD, "KVM_CAP_IRQFD", "device interrupts without an exit"},
    Capability{KVM_CAP_IRQFD_RESAMPLE, "KVM_CAP_IRQFD_RESAMPLE", "level interrupts"},
    Capability{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "stopping a vCPU"},
    Capability{KVM_CAP_DEVICE_CTRL, "KVM_CAP_DEVICE_CTRL", "the in-kernel interrupt controller"},
    Capability{KVM_CAP_ARM_NISV_TO_USER, "KVM_CAP_ARM_NISV_TO_USER",
               "guest accesses that cannot be decoded"},
    Capability{KVM_CAP_ARM_INJECT_EXT_DABT, "KVM_CAP_ARM_INJECT_EXT_DABT",
               "answering them with an abort"},
};

// arch/arm64/kvm/vgic/vgic-init.c, kvm_vgic_get_max_vcpus: this many with a vGICv2 only, 512 with a
// vGICv3. It tells them apart without a VM to try them on.
constexpr unsigned kVgicV2MaximumVcpus = 8;

int CheckExtension(const Fd& fd, int capability) {
  return CheckedIoctl(fd, IOCTL_CODE(KVM_CHECK_EXTENSION), static_cast<unsigned long>(capability));
}

Fd OpenKvm(HostKernel& kernel) {
  return OpenDeviceFile(
      kernel, "/dev/kvm",
      Error("no permission to use KVM",
            "run as root, or give the user access: usermod -aG kvm USER"),
      Error("this host offers no KVM",
            "the kernel needs CONFIG_KVM=y and must be entered at EL2; check: dmesg | grep kvm"));
}

void RequireCapabilities(const Fd& fd) {
  std::string missing;
  for (const Capability& capability : kRequired) {
    if (CheckExtension(fd, capability.number) > 0) continue;
    missing += std::string("\n") + capability.name + " (" + capability.purpose + ")";
  }
  if (missing.empty()) return;
  throw Error("this host's KVM lacks what microvm is built on:" + missing,
#ifdef __aarch64__
              "use a kernel 5.10 or later");
#else
              "use an arm64 host, with a kernel 5.10 or later: this program is built for another "
              "architecture, for `device --tree` and the tests");
#endif
}

kvm_create_device CreateDevice(const Vm& vm, std::uint32_t type, const char* type_name,
                               std::uint32_t flags) {
  kvm_create_device create{};
  create.type = type;
  create.flags = flags;
  WithContext(Error(type_name),
              [&] { CheckedIoctl(vm.fd(), IOCTL_CODE(KVM_CREATE_DEVICE), &create); });
  return create;
}

}  // namespace

Kvm::Kvm(HostKernel& kernel) : fd_(OpenKvm(kernel)) {
  const int version = CheckedIoctl(fd_, IOCTL_CODE(KVM_GET_API_VERSION));
  if (version != KVM_API_VERSION) {
    throw Error("KVM has API version " + std::to_string(version) + ", not " +
                std::to_string(KVM_API_VERSION));
  }
  RequireCapabilities(fd_);
  const int ipa_bits = CheckExtension(fd_, KVM_CAP_ARM_VM_IPA_SIZE);
  // Zero: a host that only knows the original, fixed 40 bits.
  limits_.ipa_bits = ipa_bits > 0 ? static_cast<unsigned>(ipa_bits) : 40;
  limits_.max_vcpus = static_cast<unsigned>(CheckExtension(fd_, KVM_CAP_MAX_VCPUS));
  limits_.gic = limits_.max_vcpus > kVgicV2MaximumVcpus ? GicVersion::kV3 : GicVersion::kV2;
  limits_.pmu = CheckExtension(fd_, KVM_CAP_ARM_PMU_V3) > 0;
  limits_.sve = CheckExtension(fd_, KVM_CAP_ARM_SVE) > 0;
  limits_.pauth = CheckExtension(fd_, KVM_CAP_ARM_PTRAUTH_ADDRESS) > 0 &&
                  CheckExtension(fd_, KVM_CAP_ARM_PTRAUTH_GENERIC) > 0;
  run_mapping_bytes_ =
      static_cast<std::size_t>(CheckedIoctl(fd_, IOCTL_CODE(KVM_GET_VCPU_MMAP_SIZE)));
}

Vm::Vm(const Kvm& kvm, unsigned ipa_bits) {
  const Error context("cannot create a virtual machine with " + std::to_string(ipa_bits) +
                      " address bits");
  // Type 0 is 40 bits, on hosts that know no other size too.
  const unsigned long type = ipa_bits == 40 ? 0 : KVM_VM_TYPE_ARM_IPA_SIZE(ipa_bits);
  fd_ = WithContext(context, [&] {
    return Fd(kvm.fd().kernel(), CheckedIoctl(kvm.fd(), IOCTL_CODE(KVM_CREATE_VM), type));
  });
  kvm_enable_cap nisv{};
  nisv.cap = KVM_CAP_ARM_NISV_TO_USER;
  WithContext(Error("KVM_CAP_ARM_NISV_TO_USER"),
              [&] { CheckedIoctl(fd_, IOCTL_CODE(KVM_ENABLE_CAP), &nisv); });
}

void Vm::AddReadonlyMemslot(GuestAddress start, std::span<std::byte> host_memory) {
  AddMemslot(start, host_memory, KVM_MEM_READONLY);
}

void Vm::AddMemslot(GuestAddress start, std::span<std::byte> host_memory, std::uint32_t flags) {
  kvm_userspace_memory_region region{};
  region.slot = next_slot_;
  region.flags = flags;
  region.guest_phys_addr = start.value;
  region.memory_size = host_memory.size();
  region.userspace_addr = reinterpret_cast<std::uintptr_t>(host_memory.data());
  WithContext(
      Error("memory slot at " + Hex(start.value) + ", " + Hex(host_memory.size()) + " bytes"),
      [&] { CheckedIoctl(fd_, IOCTL_CODE(KVM_SET_USER_MEMORY_REGION), &region); });
  ++next_slot_;
}

void Vm::SetHaltPoll(std::uint64_t ns) {
  kvm_enable_cap poll{};
  poll.cap = KVM_CAP_HALT_POLL;
  poll.args[0] = ns;
  WithContext(Error("KVM cannot poll for interrupts as realtime.halt_poll_ns says",
                    "remove that key; or Linux 5.10 or later"),
              [&] { CheckedIoctl(fd_, IOCTL_CODE(KVM_ENABLE_CAP), &poll); });
}

bool Vm::SetIrqLine(Spi spi, bool level) const noexcept {
  kvm_irq_level line{};
  line.irq = arm64::kIrqTypeSpi | spi.intid();
  line.level = level ? 1 : 0;
  return fd_.kernel().Ioctl(fd_.get(), KVM_IRQ_LINE, &line) == 0;
}

KvmDevice::KvmDevice(const Vm& vm, std::uint32_t type, const char* type_name) {
  const kvm_create_device created = CreateDevice(vm, type, type_name, 0);
  fd_ = Fd(vm.fd().kernel(), static_cast<int>(created.fd));
}

void KvmDevice::Check(const Vm& vm, std::uint32_t type, const char* type_name) {
  CreateDevice(vm, type, type_name, KVM_CREATE_DEVICE_TEST);
}

void KvmDevice::SetAttribute(std::uint32_t group, std::uint64_t attribute, void* value,
                             const char* what) {
  kvm_device_attr attr{};
  attr.group = group;
  attr.attr = attribute;
  attr.addr = reinterpret_cast<std::uintptr_t>(value);
  WithContext(Error(what), [&] { CheckedIoctl(fd_, IOCTL_CODE(KVM_SET_DEVICE_ATTR), &attr); });
}

std::uint32_t KvmDevice::GetAttribute32(std::uint32_t group, std::uint64_t attribute,
                                        const char* what) const {
  std::uint32_t value = 0;
  kvm_device_attr attr{};
  attr.group = group;
  attr.attr = attribute;
  attr.addr = reinterpret_cast<std::uintptr_t>(&value);
  WithContext(Error(what), [&] { CheckedIoctl(fd_, IOCTL_CODE(KVM_GET_DEVICE_ATTR), &attr); });
  return value;
}

}  // namespace microvm
