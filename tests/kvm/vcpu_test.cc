// SPDX-License-Identifier: Apache-2.0
#include "vmm/kvm/vcpu.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::FakeKernel;

struct EmptyVm {
  FakeKernel kernel;
  Kvm kvm{kernel};
  Vm vm{kvm, 40};
};

TEST_CASE("a vCPU is created, mapped and initialised, and taken down in reverse") {
  EmptyVm m;
  m.kernel.ClearLog();
  { const Vcpu vcpu(m.kvm, m.vm, 0, {}); }
  CHECK(m.kernel.log() == std::vector<std::string>{"KVM_CREATE_VCPU 0", "mmap vcpu 0",
                                                   "KVM_ARM_PREFERRED_TARGET", "KVM_ARM_VCPU_INIT",
                                                   "munmap", "close vcpu 0"});
}

TEST_CASE("SVE is finalised before anything else can be done with the vCPU") {
  EmptyVm m;
  Vcpu vcpu(m.kvm, m.vm, 0, {.pmu = false, .sve = true, .pauth = true});
  CHECK(m.kernel.log().back() == "KVM_ARM_VCPU_FINALIZE");
  CHECK(vcpu.GetRegister(arm64::kMpidrEl1) == 0x8000'0000);
}

TEST_CASE("vCPUs but the first start powered off, with the affinity of their number") {
  EmptyVm m;
  const Vcpu first(m.kvm, m.vm, 0, {});
  const Vcpu other(m.kvm, m.vm, 17, {});
  CHECK(m.kernel.violations().empty());  // the fake looks at the power state
  CHECK((other.GetRegister(arm64::kMpidrEl1) & 0xffff) == 0x101);
}

TEST_CASE("a vCPU that fails half-way leaves nothing behind") {
  for (const char* call : {"KVM_CREATE_VCPU", "mmap", "KVM_ARM_PREFERRED_TARGET",
                           "KVM_ARM_VCPU_INIT", "KVM_ARM_VCPU_FINALIZE"}) {
    EmptyVm m;
    m.kernel.FailMatching(call, EIO);
    CHECK(Contains(
        ChainOf([&] { Vcpu(m.kvm, m.vm, 0, {.pmu = false, .sve = true, .pauth = false}); }),
        std::string(call) + ": Input/output error"));
    CHECK(m.kernel.Live() == std::vector<std::string>{"kvm", "vm"});
  }
}

TEST_CASE("a register that KVM does not have is named") {
  EmptyVm m;
  const Vcpu vcpu(m.kvm, m.vm, 0, {});
  CHECK(ChainOf([&] { return vcpu.GetRegister(0x1234); }) ==
        "register 0x1234\n  KVM_GET_ONE_REG: No such file or directory\n");
}

TEST_CASE("registers are set by their number") {
  EmptyVm m;
  Vcpu vcpu(m.kvm, m.vm, 0, {});
  vcpu.SetRegister(arm64::kCoreRegisterPc, 0x4000'0000);
  CHECK(m.kernel.registers() == std::map<std::pair<unsigned, std::uint64_t>, std::uint64_t>{
                                    {{0, 0x6030'0000'0010'0040}, 0x4000'0000}});
}

TEST_CASE("a PMU before the vGIC is refused") {
  EmptyVm m;
  Vcpu vcpu(m.kvm, m.vm, 0, {.pmu = true, .sve = false, .pauth = false});
  CHECK(ChainOf([&] { vcpu.InitialisePmu(23); }) == "PMU\n  KVM_SET_DEVICE_ATTR: No such device\n");
}

TEST_CASE("a requested exit is an EINTR before the guest runs") {
  EmptyVm m;
  KvmDevice gic(m.vm, KVM_DEV_TYPE_ARM_VGIC_V3, "vgic");
  std::uint64_t distributor = 0x800'0000;
  std::uint64_t region = 1ULL << 52 | 0x1000'0000;
  m.kernel.Script(0, {fakes::PowerOff()});
  Vcpu vcpu(m.kvm, m.vm, 0, {});
  CHECK(vcpu.Run() == ENXIO);  // the vGIC has no frames
  gic.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressDist, &distributor, "dist");
  gic.SetAttribute(arm64::kVgicGroupAddress, arm64::kVgicV3AddressRedistRegion, &region, "redist");
  gic.SetAttribute(arm64::kVgicGroupControl, arm64::kVgicControlInit, nullptr, "init");
  vcpu.RequestExit();
  CHECK(vcpu.Run() == EINTR);
  CHECK(vcpu.Run() == EINTR);  // until the thread ends
  CHECK(vcpu.run().exit_reason == KVM_EXIT_INTR);
}

TEST_CASE("an abort is injected, or the refusal told") {
  EmptyVm m;
  Vcpu vcpu(m.kvm, m.vm, 0, {});
  CHECK(vcpu.InjectExternalAbort());
  CHECK(m.kernel.aborts() == 1);
  m.kernel.FailMatching("KVM_SET_VCPU_EVENTS", EINVAL);
  CHECK_FALSE(vcpu.InjectExternalAbort());
}

TEST_CASE("a vCPU after the vGIC's initialisation is refused") {
  EmptyVm m;
  KvmDevice gic(m.vm, KVM_DEV_TYPE_ARM_VGIC_V3, "vgic");
  gic.SetAttribute(arm64::kVgicGroupControl, arm64::kVgicControlInit, nullptr, "init");
  CHECK(Contains(ChainOf([&] { Vcpu(m.kvm, m.vm, 0, {}); }),
                 "KVM_CREATE_VCPU: Device or resource busy"));
}

}  // namespace
}  // namespace microvm
