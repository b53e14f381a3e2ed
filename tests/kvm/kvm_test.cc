// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/kvm.h"

#include <doctest/doctest.h>
#include <linux/kvm.h>

#include <cerrno>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"
#include "vmm/host/memory_mapping.h"
#include "vmm/kvm/arm64_uapi.h"
#include "vmm/kvm/irqfd.h"
#include "vmm/kvm/vcpu.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::FakeKernel;

std::string OpenComplaint(FakeKernel& kernel) {
  return ChainOf([&] { Kvm kvm(kernel); });
}

TEST_CASE("Kvm tells what the host can give a guest") {
  FakeKernel kernel;
  kernel.host.ipa_bits = 44;
  kernel.host.max_vcpus = 7;
  kernel.host.capabilities = {{KVM_CAP_ARM_SVE, 0}, {KVM_CAP_ARM_PTRAUTH_GENERIC, 0}};
  const Kvm kvm(kernel);
  CHECK(kvm.limits().ipa_bits == 44);
  CHECK(kvm.limits().max_vcpus == 7);
  CHECK(kvm.limits().pmu);
  CHECK_FALSE(kvm.limits().sve);
  CHECK_FALSE(kvm.limits().pauth);
  CHECK(kvm.run_mapping_bytes() == 8192);
}

TEST_CASE("a host that serves eight vCPUs has a GICv2, one that serves more a GICv3") {
  for (const unsigned vcpus : {8U, 9U, 512U}) {
    FakeKernel kernel;
    kernel.host.max_vcpus = vcpus;
    CHECK(Kvm(kernel).limits().gic == (vcpus == 8 ? GicVersion::kV2 : GicVersion::kV3));
  }
}

TEST_CASE("a host that knows no IPA sizes has forty bits") {
  FakeKernel kernel;
  kernel.host.capabilities = {{KVM_CAP_ARM_VM_IPA_SIZE, 0}};
  const Kvm kvm(kernel);
  CHECK(kvm.limits().ipa_bits == 40);
  const Vm vm(kvm, 40);
  CHECK(kernel.log().back() == "KVM_ENABLE_CAP");
  CHECK(kernel.log()[kernel.log().size() - 2] == "KVM_CREATE_VM 0");
}

TEST_CASE("a host without KVM says what it takes") {
  FakeKernel kernel;
  kernel.host.kvm_error = ENOENT;
  CHECK(OpenComplaint(kernel) ==
        "this host offers no KVM\n"
        "  open /dev/kvm: No such file or directory\n"
        "to fix it:\n"
        "  the kernel needs CONFIG_KVM=y and must be entered at EL2; check: dmesg | grep kvm\n");
}

TEST_CASE("no permission to use KVM says how to get it") {
  for (const int error : {EACCES, EPERM}) {
    FakeKernel kernel;
    kernel.host.kvm_error = error;
    const std::string complaint = OpenComplaint(kernel);
    CHECK(Contains(complaint, "no permission to use KVM\n  open /dev/kvm: "));
    CHECK(Contains(complaint, "usermod -aG kvm USER"));
  }
}

TEST_CASE("a limit of this process's says nothing of KVM") {
  FakeKernel kernel;
  kernel.host.kvm_error = EMFILE;
  CHECK(OpenComplaint(kernel).starts_with("open /dev/kvm: Too many open files\n"));
}

TEST_CASE("another API version is refused") {
  FakeKernel kernel;
  kernel.host.kvm_version = 11;
  CHECK(OpenComplaint(kernel) == "KVM has API version 11, not 12\n");
}

TEST_CASE("every capability that is missing is named with its purpose") {
  FakeKernel kernel;
  kernel.host.capabilities = {{KVM_CAP_IRQFD_RESAMPLE, 0}, {KVM_CAP_ARM_NISV_TO_USER, 0}};
  CHECK(fakes::Contains(OpenComplaint(kernel),
                        "this host's KVM lacks what microvm is built on:\n"
                        "KVM_CAP_IRQFD_RESAMPLE (level interrupts)\n"
                        "KVM_CAP_ARM_NISV_TO_USER (guest accesses that cannot be decoded)\n"
                        "to fix it:\n  use a"));
  CHECK(kernel.Live().empty());
}

TEST_CASE("a VM of a size that the host refuses is named by its bits") {
  FakeKernel kernel;
  kernel.host.ipa_bits = 36;
  const Kvm kvm(kernel);
  CHECK(ChainOf([&] { Vm vm(kvm, 44); }) ==
        "cannot create a virtual machine with 44 address bits\n"
        "  KVM_CREATE_VM: Invalid argument\n");
}

TEST_CASE("a VM without NISV exits is given back") {
  FakeKernel kernel;
  const Kvm kvm(kernel);
  kernel.FailMatching("KVM_ENABLE_CAP", EINVAL);
  CHECK(ChainOf([&] { Vm vm(kvm, 40); }) ==
        "KVM_CAP_ARM_NISV_TO_USER\n  KVM_ENABLE_CAP: Invalid argument\n");
  CHECK(kernel.Live() == std::vector<std::string>{"kvm"});
}

// A VM of 40 bits.
struct Machine40 {
  FakeKernel kernel;
  Kvm kvm{kernel};
  Vm vm{kvm, 40};
  LogBudget log;
};

TEST_CASE("memory slots count up from zero, and their failure names the place") {
  Machine40 m;
  const auto memory = MemoryMapping::Anonymous(m.kernel, 0x4000, 0x1000, 0);
  m.vm.AddMemslot({0x4000'0000}, memory.bytes().first(0x1000));
  m.vm.AddMemslot({0x5000'0000}, memory.bytes().subspan(0x1000, 0x1000));
  CHECK(ChainOf([&] { m.vm.AddMemslot({0x4000'0000}, memory.bytes().first(0x1000)); }) ==
        "memory slot at 0x40000000, 0x1000 bytes\n"
        "  KVM_SET_USER_MEMORY_REGION: File exists\n");
  CHECK(Contains(ChainOf([&] { m.vm.AddMemslot({1ULL << 40}, memory.bytes()); }), "Bad address"));
  CHECK(Contains(ChainOf([&] { m.vm.AddMemslot({0x6000'0800}, memory.bytes()); }),
                 "Invalid argument"));
  // A slot that failed is free for the next.
  m.vm.AddMemslot({0x6000'0000}, memory.bytes().first(0x1000));
  m.vm.AddReadonlyMemslot({0x7000'0000}, memory.bytes().first(0x1000));
  CHECK(m.kernel.log().back() == "KVM_SET_USER_MEMORY_REGION 0x70000000+0x1000 readonly");
  CHECK(m.kernel.violations().size() == 0);
}

TEST_CASE("a host without a vGICv3 says so by the type's name") {
  Machine40 m;
  m.kernel.host.has_vgic_v3 = false;
  CHECK(ChainOf([&] { KvmDevice(m.vm, KVM_DEV_TYPE_ARM_VGIC_V3, "KVM_DEV_TYPE_ARM_VGIC_V3"); }) ==
        "KVM_DEV_TYPE_ARM_VGIC_V3\n  KVM_CREATE_DEVICE: No such device\n");
}

// Brings the vGIC up, as the machine's recipe does.
void InitialiseGic(KvmDevice& gic) {
  std::uint32_t count = 64;
  gic.SetAttribute(arm64::kVgicGroupNrIrqs, 0, &count, "count");
  std::uint64_t distributor = 0x800'0000;
  gic.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressDist, &distributor, "dist");
  std::uint64_t region = 1ULL << 52 | 0x1000'0000;
  gic.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressRedistRegion, &region, "redist");
  gic.SetAttribute(arm64::kVgicGroupControl, arm64::kVgicControlInit, nullptr, "init");
}

TEST_CASE("an attribute that the vGIC refuses is named") {
  Machine40 m;
  KvmDevice gic(m.vm, KVM_DEV_TYPE_ARM_VGIC_V3, "vgic");
  std::uint32_t count = 65;
  CHECK(ChainOf([&] { gic.SetAttribute(arm64::kVgicGroupNrIrqs, 0, &count, "count"); }) ==
        "count\n  KVM_SET_DEVICE_ATTR: Invalid argument\n");
}

TEST_CASE("an irqfd before the vGIC is initialised is refused") {
  Machine40 m;
  KvmDevice gic(m.vm, KVM_DEV_TYPE_ARM_VGIC_V3, "vgic");
  const Fd trigger = MakeEventFd(m.kernel);
  CHECK(ChainOf([&] { return Irqfd::Edge(m.vm, Spi{3}, trigger, m.log); }) ==
        "SPI 3\n  KVM_IRQFD: Resource temporarily unavailable\n");
}

TEST_CASE("an irqfd is assigned for as long as it lives") {
  Machine40 m;
  KvmDevice gic(m.vm, KVM_DEV_TYPE_ARM_VGIC_V3, "vgic");
  InitialiseGic(gic);
  const Fd trigger = MakeEventFd(m.kernel);
  const Fd resample = MakeEventFd(m.kernel);
  m.kernel.ClearLog();
  {
    Irqfd first = Irqfd::Level(m.vm, Spi{3}, trigger, resample, m.log);
    const Irqfd moved = std::move(first);
    CHECK(Contains(ChainOf([&] { return Irqfd::Edge(m.vm, Spi{4}, trigger, m.log); }),
                   "Device or resource busy"));
  }
  CHECK(m.kernel.log() == std::vector<std::string>{"KVM_IRQFD assign resample spi 3",
                                                   "KVM_IRQFD assign spi 4",
                                                   "KVM_IRQFD deassign spi 3"});
  CHECK(m.kernel.violations().empty());
}

TEST_CASE("an SPI's line is set by its INTID") {
  Machine40 m;
  CHECK_FALSE(m.vm.SetIrqLine(Spi{0}, true));  // no vGIC yet
  KvmDevice gic(m.vm, KVM_DEV_TYPE_ARM_VGIC_V3, "vgic");
  CHECK_FALSE(m.vm.SetIrqLine(Spi{0}, true));
  InitialiseGic(gic);
  CHECK(m.vm.SetIrqLine(Spi{5}, true));
  CHECK(m.vm.SetIrqLine(Spi{5}, false));
  CHECK_FALSE(m.vm.SetIrqLine(Spi{32}, true));
  CHECK(m.kernel.irq_lines() ==
        std::vector<std::pair<std::uint32_t, bool>>{{37, true}, {37, false}});
}

}  // namespace
}  // namespace microvm
