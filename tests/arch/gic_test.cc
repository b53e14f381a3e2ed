// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/gic.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <map>
#include <utility>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"
#include "tests/plan/plan_input.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::FakeKernel;
using fakes::PlanInput;

TEST_CASE("the interrupt controller is made, sized, placed and initialised, then given triggers") {
  FakeKernel kernel;
  const Kvm kvm(kernel);
  const Vm vm(kvm, 40);
  PlanInput input;
  input.devices = {fakes::TimerFacts(), fakes::CanFacts()};
  kernel.ClearLog();
  { const KvmDevice gic = MakeGic(vm, input.Make()); }
  CHECK(fakes::Lines(kernel.log()) ==
        "KVM_CREATE_DEVICE\n"
        "KVM_SET_DEVICE_ATTR 3/0x0\n"
        "KVM_SET_DEVICE_ATTR 0/0x2\n"
        "KVM_SET_DEVICE_ATTR 0/0x5\n"
        "KVM_SET_DEVICE_ATTR 4/0x0\n"
        "KVM_SET_DEVICE_ATTR 1/0xc08\n"
        "close vgic\n");
}

TEST_CASE("edges and levels are two bits each, sixteen to a register") {
  FakeKernel kernel;
  const Kvm kvm(kernel);
  const Vm vm(kvm, 40);
  PlanInput input;
  DeviceFacts facts = fakes::TimerFacts();
  facts.interrupts.assign(20, {true});
  facts.interrupts[0].automasked = false;   // SPI 1
  facts.interrupts[14].automasked = false;  // SPI 15
  facts.interrupts[15].automasked = false;  // SPI 16
  input.devices = {facts};
  const KvmDevice gic = MakeGic(vm, input.Make());
  const auto registers = kernel.registers();
  CHECK(registers.at({~0U, 0xc08}) == (2U << 2 | 2U << 30));
  CHECK(registers.at({~0U, 0xc0c}) == 2U);
}

// The state that is read of SPI 9 (INTID 41) where the vGIC's registers are these.
SpiState StateOf(GicVersion version,
                 std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint32_t> registers) {
  FakeKernel kernel;
  kernel.host.has_vgic_v2 = true;
  const Kvm kvm(kernel);
  const Vm vm(kvm, 40);
  PlanInput input;
  input.limits.gic = version;
  const KvmDevice gic = MakeGic(vm, input.Make());
  kernel.host.vgic_registers = std::move(registers);
  return ReadSpi(gic, version, Spi{9});
}

TEST_CASE("an SPI's state is read from the distributor, and a GICv3's level apart") {
  constexpr std::uint32_t kDist = 1;
  constexpr std::uint32_t kLevelInfo = 7;
  constexpr std::uint32_t kBit = 1U << 9;
  for (const GicVersion version : {GicVersion::kV2, GicVersion::kV3}) {
    const SpiState idle = StateOf(version, {{{kDist, 0x204}, ~kBit},
                                            {{kDist, 0x304}, ~kBit},
                                            {{kLevelInfo, 32}, ~kBit},
                                            {{kDist, 0xc08}, ~(2U << 18)}});
    CHECK_FALSE(idle.pending);
    CHECK_FALSE(idle.active);
    CHECK(idle.trigger == Trigger::kLevel);
    CHECK(StateOf(version, {{{kDist, 0x204}, kBit}}).pending);
    CHECK(StateOf(version, {{{kDist, 0x304}, kBit}}).active);
    CHECK(StateOf(version, {{{kDist, 0xc08}, 2U << 18}}).trigger == Trigger::kEdge);
  }
  CHECK(StateOf(GicVersion::kV3, {{{kLevelInfo, 32}, kBit}}).pending);
}

TEST_CASE("the largest GIC that a plan can ask for is one that KVM makes") {
  FakeKernel kernel;
  const Kvm kvm(kernel);
  const Vm vm(kvm, 40);
  PlanInput input;
  input.limits.max_vcpus = 512;
  input.config.cpu.count = 512;
  DeviceFacts facts = fakes::TimerFacts();
  facts.interrupts.assign(959, {true});
  input.devices = {facts};
  CHECK(ChainOf([&] { MakeGic(vm, input.Make()); }) == "");
}

TEST_CASE("each step that fails says what it was") {
  for (const auto& [call, what] : std::vector<std::pair<std::string, std::string>>{
           {"KVM_SET_DEVICE_ATTR 3/", "number of interrupts\n"},
           {"KVM_SET_DEVICE_ATTR 0/0x2", "address of the distributor\n"},
           {"KVM_SET_DEVICE_ATTR 0/0x5", "address of the redistributors\n"},
           {"KVM_SET_DEVICE_ATTR 4/", "KVM_DEV_ARM_VGIC_CTRL_INIT\n"},
           {"KVM_SET_DEVICE_ATTR 1/", "GICD_ICFGR\n"}}) {
    FakeKernel kernel;
    const Kvm kvm(kernel);
    const Vm vm(kvm, 40);
    PlanInput input;
    input.devices = {fakes::TimerFacts()};
    kernel.FailMatching(call, EIO);
    CHECK(ChainOf([&] { MakeGic(vm, input.Make()); }) ==
          what + "  KVM_SET_DEVICE_ATTR: Input/output error\n");
    CHECK(kernel.Live() == std::vector<std::string>{"kvm", "vm"});
  }
}

// A host with a GICv2 and nothing newer.
struct HostV2 {
  HostV2() {
    kernel.host.has_vgic_v3 = false;
    kernel.host.has_vgic_v2 = true;
    kernel.host.max_vcpus = 8;
    input.devices = {fakes::TimerFacts(), fakes::CanFacts()};
    input.limits = Kvm(kernel).limits();
  }
  FakeKernel kernel;
  PlanInput input;
};

TEST_CASE("a GICv2 is made, sized, placed and initialised, then given the same triggers") {
  HostV2 host;
  REQUIRE(host.input.limits.gic == GicVersion::kV2);
  const Kvm kvm(host.kernel);
  const Vm vm(kvm, 40);
  host.kernel.ClearLog();
  { const KvmDevice gic = MakeGic(vm, host.input.Make()); }
  CHECK(fakes::Lines(host.kernel.log()) ==
        "KVM_CREATE_DEVICE\n"
        "KVM_SET_DEVICE_ATTR 3/0x0\n"
        "KVM_SET_DEVICE_ATTR 0/0x0\n"
        "KVM_SET_DEVICE_ATTR 0/0x1\n"
        "KVM_SET_DEVICE_ATTR 4/0x0\n"
        "KVM_SET_DEVICE_ATTR 1/0xc08\n"
        "close vgic\n");
  CHECK(host.kernel.violations().empty());
}

TEST_CASE("a host whose KVM has neither says which one it should have had") {
  HostV2 host;
  host.kernel.host.has_vgic_v2 = false;
  const Kvm kvm(host.kernel);
  const Vm vm(kvm, 40);
  CHECK(Contains(ChainOf([&] { MakeGic(vm, host.input.Make()); }),
                 "this host's KVM has no vGICv2\n"));
  host.input.limits.gic = GicVersion::kV3;
  CHECK(Contains(ChainOf([&] { MakeGic(vm, host.input.Make()); }),
                 "this host's KVM has no vGICv3\n"));
}

TEST_CASE("a GICv2's address that KVM refuses is named") {
  HostV2 host;
  host.kernel.FailMatching("KVM_SET_DEVICE_ATTR 0/0x1", EIO);
  const Kvm kvm(host.kernel);
  const Vm vm(kvm, 40);
  CHECK(
      Contains(ChainOf([&] { MakeGic(vm, host.input.Make()); }), "address of the CPU interface\n"));
}

}  // namespace
}  // namespace microvm
