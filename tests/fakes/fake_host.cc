// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_host.h"

#include <cerrno>
#include <cstring>

namespace microvm::fakes {
namespace {

VcpuExit SystemEvent(std::uint32_t type) {
  return [type](kvm_run& run) {
    run.exit_reason = KVM_EXIT_SYSTEM_EVENT;
    run.system_event.type = type;
    run.system_event.ndata = 0;
    return 0;
  };
}

}  // namespace

VcpuExit PowerOff() { return SystemEvent(KVM_SYSTEM_EVENT_SHUTDOWN); }
VcpuExit Reset() { return SystemEvent(KVM_SYSTEM_EVENT_RESET); }
VcpuExit Crash() { return SystemEvent(KVM_SYSTEM_EVENT_CRASH); }
VcpuExit OtherSystemEvent() { return SystemEvent(KVM_SYSTEM_EVENT_WAKEUP); }

VcpuExit MmioRead(std::uint64_t address, std::uint32_t length) {
  return [=](kvm_run& run) {
    run.exit_reason = KVM_EXIT_MMIO;
    run.mmio.phys_addr = address;
    run.mmio.len = length;
    run.mmio.is_write = 0;
    std::memset(&run.mmio.data[0], 0, sizeof(run.mmio.data));
    return 0;
  };
}

VcpuExit MmioWrite(std::uint64_t address, std::uint32_t length, std::uint64_t value) {
  return [=](kvm_run& run) {
    run.exit_reason = KVM_EXIT_MMIO;
    run.mmio.phys_addr = address;
    run.mmio.len = length;
    run.mmio.is_write = 1;
    std::memcpy(&run.mmio.data[0], &value, sizeof(value));
    return 0;
  };
}

VcpuExit Undecodable(std::uint64_t address) {
  return [address](kvm_run& run) {
    run.exit_reason = KVM_EXIT_ARM_NISV;
    run.arm_nisv.fault_ipa = address;
    run.arm_nisv.esr_iss = 0x45;
    return 0;
  };
}

VcpuExit InternalError() {
  return [](kvm_run& run) {
    run.exit_reason = KVM_EXIT_INTERNAL_ERROR;
    return 0;
  };
}

VcpuExit SignalExit() {
  return [](kvm_run& run) {
    run.exit_reason = KVM_EXIT_INTR;
    return EINTR;
  };
}

VcpuExit RunFails(int error) {
  return [error](kvm_run&) { return error; };
}

VcpuExit Meanwhile(std::function<void()> action) {
  return [action = std::move(action)](kvm_run& run) {
    action();
    run.exit_reason = KVM_EXIT_INTR;
    return EINTR;
  };
}

}  // namespace microvm::fakes
