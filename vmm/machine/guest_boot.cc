// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/guest_boot.h"

#include <sys/random.h>

#include <array>
#include <cstring>
#include <exception>

#include "arch/arm64/guest_tree.h"
#include "vmm/host/error.h"
#include "vmm/kvm/arm64_uapi.h"
#include "vmm/machine/thread_placement.h"

namespace microvm {
namespace {

constexpr std::uint32_t kPmuIntid = 23;  // PPI 7, as the guest's tree says
// EL1h with all exceptions masked (Documentation/arch/arm64/booting.rst, section 4).
constexpr std::uint64_t kBootPstate = 0x3c5;
constexpr std::uint64_t kMpidrAffinity = 0xff'00ff'ffff;

void ApplyScheduling(HostKernel& kernel, const CpuConfig& cpu, unsigned id, pid_t tid) {
  if (!cpu.affinity.empty()) {
    const unsigned host_cpu = cpu.affinity[id];
    WithContext(
        Error("cannot pin vCPU " + std::to_string(id) + " to host CPU " + std::to_string(host_cpu),
              "correct cpu.affinity; the host's CPUs: cat /sys/devices/system/cpu/online"),
        [&] {
          if (kernel.SetAffinity(tid, {&host_cpu, 1}) != 0) ThrowErrno("sched_setaffinity");
        });
  }
  if (cpu.policy == SchedulingPolicy::kOther) return;
  WithContext(Error("cannot give vCPU " + std::to_string(id) + " the policy \"" +
                        std::string(ToString(cpu.policy)) + "\"",
                    "run as root, or raise the limit: ulimit -r " + std::to_string(cpu.priority)),
              [&] {
                if (kernel.SetScheduler(tid, LinuxPolicy(cpu.policy), cpu.priority) != 0) {
                  ThrowErrno("sched_setscheduler");
                }
              });
}

}  // namespace

GuestBoot::GuestBoot(const BootParts& parts, const VcpuThread::StopHandler& on_stop)
    : gic_version_(parts.plan.gic.version),
      virtio_(parts.virtio),
      vm_(parts.kvm, parts.plan.ipa_bits),
      bus_(parts.refused_log),
      pl011_line_(vm_, parts.plan.console_spi) {
  if (const auto ns = parts.plan.config.realtime.halt_poll_ns) vm_.SetHaltPoll(*ns);
  MakeVm(parts);
  LoadMemory(parts);
  SetEntry(parts.plan);
  const FifoSection section(parts.kernel);
  for (const auto& device : parts.devices) {
    WithContext(Error("device '" + device->name() + "'"), [&] {
      for (auto& interrupt : device->ArmInterrupts(vm_)) {
        interrupts_.push_back(std::move(interrupt));
      }
    });
  }
  virtio_connections_ = parts.virtio.Connect(vm_);
  parts.pl061s.Connect(vm_, pl061_connections_);
  MakeThreads(parts, section, on_stop);
}

void GuestBoot::MakeVm(const BootParts& parts) {
  const FifoSection section(parts.kernel);
  const VmPlan& plan = parts.plan;
  for (const AddressRange& range : plan.ram) {
    vm_.AddMemslot(range.start(), parts.memory.Span(range.start(), range.size_bytes()));
  }
  if (parts.pl011_host != nullptr) {
    bus_.Map(plan.console, pl011_.emplace(pl011_line_, *parts.pl011_host));
  }
  if (plan.rtc) {
    SpiLine& line = pl031_line_.emplace(vm_, plan.rtc->spi);
    bus_.Map(plan.rtc->registers, pl031_.emplace(line, *parts.clock));
  }
  for (const auto& device : parts.devices) {
    WithContext(Error("device '" + device->name() + "'"), [&] { device->AddRegions(vm_, bus_); });
  }
  for (const PlannedDevice& device : plan.devices) {
    if (!device.resets) continue;
    bus_.Map(*device.resets->registers, reset_stubs_.emplace_back(device.host + " resets"));
  }
  parts.virtio.Map(vm_, bus_);
  parts.pl061s.Map(bus_);
  MakeVcpus(parts);
  // After the vCPUs, none of which can be added to an initialised vGIC.
  gic_.emplace(MakeGic(vm_, plan));
  if (plan.config.cpu.pmu) {
    for (const auto& vcpu : vcpus_) vcpu->InitialisePmu(kPmuIntid);
  }
}

void GuestBoot::MakeVcpus(const BootParts& parts) {
  const CpuConfig& cpu = parts.plan.config.cpu;
  const VcpuFeatures features{.pmu = cpu.pmu, .sve = cpu.sve, .pauth = cpu.pauth};
  for (unsigned id = 0; id < parts.plan.mpidrs.size(); ++id) {
    WithContext(Error("vCPU " + std::to_string(id)), [&] {
      vcpus_.push_back(std::make_unique<Vcpu>(parts.kvm, vm_, id, features));
      const std::uint64_t mpidr = vcpus_.back()->GetRegister(arm64::kMpidrEl1) & kMpidrAffinity;
      // The guest's tree is made before any vCPU is.
      if (mpidr != parts.plan.mpidrs[id]) {
        throw Error("KVM gave it the affinity " + Hex(mpidr) + ", the device tree says " +
                    Hex(parts.plan.mpidrs[id]));
      }
    });
  }
}

void GuestBoot::LoadMemory(const BootParts& parts) {
  parts.images.Load(parts.plan, parts.memory);
  std::array<std::byte, 40> random{};  // 8 bytes for kaslr-seed, 32 for rng-seed
  // A host that has just booted may have no entropy yet: then no seed, rather than a wait or a bad
  // one.
  const bool seeded =
      getrandom(random.data(), random.size(), GRND_NONBLOCK) == static_cast<ssize_t>(random.size());
  const std::vector<std::byte> tree =
      BuildGuestTree(parts.plan, seeded ? BootSeed(random) : BootSeed());
  const auto target = parts.memory.Span(parts.plan.boot.fdt.start(), tree.size());
  std::memcpy(target.data(), tree.data(), tree.size());
}

void GuestBoot::SetEntry(const VmPlan& plan) {
  Vcpu& boot_cpu = *vcpus_.front();
  boot_cpu.SetRegister(arm64::kCoreRegisterPstate, kBootPstate);
  boot_cpu.SetRegister(arm64::kCoreRegisterPc, plan.boot.kernel.value);
  boot_cpu.SetRegister(arm64::CoreRegisterX(0), plan.boot.fdt.start().value);
}

void GuestBoot::MakeThreads(const BootParts& parts, const FifoSection& section,
                            const VcpuThread::StopHandler& on_stop) {
  for (unsigned id = 0; id < vcpus_.size(); ++id) {
    const Error context("cannot make the thread of vCPU " + std::to_string(id),
                        "EAGAIN: raise the limit on threads (ulimit -u; pids.max of the cgroup) or "
                        "make cpu.count smaller");
    WithContext(context, [&] {
      threads_.push_back(std::make_unique<VcpuThread>(id, *vcpus_[id], bus_, exits_.emplace_back(),
                                                      parts.undecodable_log, on_stop));
    });
    section.Release(threads_.back()->tid());
    ApplyScheduling(parts.kernel, parts.plan.config.cpu, id, threads_.back()->tid());
  }
}

void GuestBoot::Start() {
  for (const auto& thread : threads_) thread->Start();
}

SpiState GuestBoot::ReadSpi(Spi spi) {
  for (const auto& thread : threads_) thread->Pause();
  std::exception_ptr failure;
  SpiState state;
  try {
    state = microvm::ReadSpi(*gic_, gic_version_, spi);
  } catch (...) {
    failure = std::current_exception();
  }
  for (const auto& thread : threads_) thread->Resume();
  if (failure) std::rethrow_exception(failure);
  return state;
}

void GuestBoot::RequestStop() noexcept {
  virtio_.Release();
  for (const auto& thread : threads_) thread->RequestStop();
}

void GuestBoot::Join() {
  RequestStop();
  threads_.clear();
}

}  // namespace microvm
