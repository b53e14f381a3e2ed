// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/gic_v3.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"
#include "tests/plan/plan_input.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::FakeKernel;
using fakes::PlanInput;

TEST_CASE("the interrupt controller is made, sized, placed and initialised, then given triggers") {
  FakeKernel kernel;
  const Kvm kvm(kernel);
  const Vm vm(kvm, 40);
  PlanInput input;
  input.devices = {fakes::TimerFacts(), fakes::CanFacts()};
  kernel.ClearLog();
  { const GicV3 gic(vm, input.Make()); }
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
  const GicV3 gic(vm, input.Make());
  const auto registers = kernel.registers();
  CHECK(registers.at({~0U, 0xc08}) == (2U << 2 | 2U << 30));
  CHECK(registers.at({~0U, 0xc0c}) == 2U);
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
  CHECK(ChainOf([&] { GicV3(vm, input.Make()); }) == "");
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
    CHECK(ChainOf([&] { GicV3(vm, input.Make()); }) ==
          what + "  KVM_SET_DEVICE_ATTR: Input/output error\n");
    CHECK(kernel.Live() == std::vector<std::string>{"kvm", "vm"});
  }
}

}  // namespace
}  // namespace microvm
