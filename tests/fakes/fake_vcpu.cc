// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "tests/fakes/fake_kvm.h"
#include "vmm/kvm/arm64_uapi.h"

namespace microvm::fakes {
namespace {

constexpr std::size_t kRunBytes = 8192;
constexpr long kForeverSeconds = 60;  // after which a test that hangs is ended

std::uint64_t Bit(arm64::VcpuFeature feature) {
  return std::uint64_t{1} << static_cast<unsigned>(feature);
}

// KVM_RUN holds the vCPU's lock.
class Running {
 public:
  explicit Running(std::atomic<bool>& running) : running_(running) { running_ = true; }
  ~Running() { running_ = false; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  Running(Running&&) = delete;
  Running& operator=(Running&&) = delete;

 private:
  std::atomic<bool>& running_;
};

}  // namespace

FakeVcpu::FakeVcpu(FakeKernel& kernel, FakeVm& vm, unsigned id, std::vector<VcpuExit> script)
    : kernel_(kernel),
      vm_(&vm),
      id_(id),
      memory_(MakeMemoryFd(kRunBytes)),
      run_(static_cast<kvm_run*>(
          ::mmap(nullptr, kRunBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0))),
      script_(script.begin(), script.end()) {}

FakeVcpu::~FakeVcpu() { ::munmap(run_, kRunBytes); }

int FakeVcpu::MapTarget(std::size_t length, int /*protection*/, int flags, off_t& offset) {
  if ((flags & MAP_SHARED) == 0 || offset != 0 || length > kRunBytes) return -EINVAL;
  return memory_.get();
}

long FakeVcpu::Initialise(void* argument) {
  const auto init = CopyIn<arm64::VcpuInit>(argument);
  constexpr std::uint32_t kKnown = 0xff;
  if (init.target != 5) return -EINVAL;
  if ((init.features[0] & ~kKnown) != 0) return -ENOENT;
  for (int word = 1; word < 7; ++word) {
    if (init.features[word] != 0) return -ENOENT;
  }
  const bool address = (init.features[0] & Bit(arm64::VcpuFeature::kPtrauthAddress)) != 0;
  const bool generic = (init.features[0] & Bit(arm64::VcpuFeature::kPtrauthGeneric)) != 0;
  if (address != generic) return -EINVAL;
  const bool off = (init.features[0] & Bit(arm64::VcpuFeature::kPowerOff)) != 0;
  if (off == (id_ == 0)) kernel_.Violation(name() + " starts in the wrong power state");
  if ((init.features[0] & Bit(arm64::VcpuFeature::kPsci02)) == 0) {
    kernel_.Violation(name() + " has no PSCI");
  }
  initialised_ = true;
  finalised_ = (init.features[0] & Bit(arm64::VcpuFeature::kSve)) == 0;
  has_pmu_ = (init.features[0] & Bit(arm64::VcpuFeature::kPmuV3)) != 0;
  return 0;
}

long FakeVcpu::SetAttribute(const kvm_device_attr& attr) {
  if (attr.group != arm64::kVcpuGroupPmuV3) return -ENXIO;
  if (!has_pmu_) return -ENODEV;
  // arch/arm64/kvm/pmu-emul.c: the vGIC comes first, and the interrupt is a PPI.
  if (attr.attr == arm64::kVcpuPmuV3Init) return vm_->vgic_initialized ? 0 : -ENODEV;
  if (attr.attr != arm64::kVcpuPmuV3Irq) return -ENXIO;
  const int irq = CopyIn<int>(reinterpret_cast<const void*>(attr.addr));
  return irq >= 16 && irq < 32 ? 0 : -EINVAL;
}

long FakeVcpu::GetRegister(const kvm_one_reg& reg) const {
  if (!initialised_) return -ENOEXEC;
  if (!finalised_) return -EPERM;
  if (reg.id != arm64::kMpidrEl1) return -ENOENT;
  // arch/arm64/kvm/sys_regs.c: reset_mpidr.
  std::uint64_t value = std::uint64_t{1} << 31 | (id_ & 0xf) | (id_ >> 4 & 0xff) << 8;
  if (kernel_.host.wrong_mpidr) value |= 0x7f0000;
  CopyOut(reinterpret_cast<void*>(reg.addr), value);
  return 0;
}

long FakeVcpu::Ioctl(unsigned long request, void* argument) {
  switch (request) {
    case arm64::kKvmArmVcpuInit:
      return Initialise(argument);
    case arm64::kKvmArmVcpuFinalize:
      if (!initialised_) return -ENOEXEC;
      if (CopyIn<int>(argument) != static_cast<int>(arm64::VcpuFeature::kSve)) return -EINVAL;
      if (finalised_) return -EPERM;
      finalised_ = true;
      return 0;
    case KVM_SET_DEVICE_ATTR:
      return SetAttribute(CopyIn<kvm_device_attr>(argument));
    case KVM_GET_ONE_REG:
      return GetRegister(CopyIn<kvm_one_reg>(argument));
    case KVM_SET_ONE_REG: {
      if (!initialised_) return -ENOEXEC;
      const auto reg = CopyIn<kvm_one_reg>(argument);
      kernel_.registers_[{id_, reg.id}] =
          CopyIn<std::uint64_t>(reinterpret_cast<const void*>(reg.addr));
      return 0;
    }
    case arm64::kKvmSetVcpuEvents: {
      const auto events = CopyIn<arm64::VcpuEvents>(argument);
      if (events.ext_dabt_pending > 1 || events.serror_pending != 0) return -EINVAL;
      kernel_.aborts_ += events.ext_dabt_pending;
      return 0;
    }
    default:
      return -ENOTTY;
  }
}

void FakeVcpu::FinishRead() {
  if (!awaits_read_) return;
  awaits_read_ = false;
  std::uint64_t value = 0;
  std::memcpy(&value, &run_->mmio.data[0], sizeof(value));
  if (run_->mmio.len < 8) value &= (std::uint64_t{1} << (8 * run_->mmio.len)) - 1;
  kernel_.mmio_reads_.push_back(value);
}

// What is checked when a vCPU enters the guest (kvm_arch_vcpu_run_pid_change).
int FakeVcpu::Enter() {
  if (vm_ == nullptr) return EBADF;
  if (!initialised_) return ENOEXEC;
  if (!finalised_) return EPERM;
  if (has_run_) return 0;
  has_run_ = true;
  if (vm_->vgic == nullptr || !vm_->vgic_initialized || !vm_->vgic->has_frames()) return ENXIO;
  if (!vm_->nisv_to_user) kernel_.Violation("vm runs without KVM_CAP_ARM_NISV_TO_USER");
  return 0;
}

// A guest that never exits: only a signal that finds the vCPU running ends it, as with KVM.
int FakeVcpu::WaitForSignal() {
  sigset_t kick;
  sigset_t before;
  sigemptyset(&kick);
  sigaddset(&kick, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &kick, &before);
  const bool immediate = std::atomic_ref(run_->immediate_exit).load(std::memory_order_acquire) != 0;
  if (!immediate) {
    const timespec limit{kForeverSeconds, 0};
    if (::ppoll(nullptr, 0, &limit, &before) == 0) {
      std::fputs("fake vCPU: nobody stops it\n", stderr);
      std::abort();
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  run_->exit_reason = KVM_EXIT_INTR;
  return EINTR;
}

int FakeVcpu::Run() {
  const Running running(running_);
  while (true) {
    const int error = RunUntilExit();
    const std::scoped_lock lock(kernel_.mutex_);
    // As an ioeventfd takes it, the guest goes on.
    if (error != 0 || !vm_->TakesWrite(*run_)) return error;
  }
}

int FakeVcpu::RunUntilExit() {
  VcpuExit next;
  {
    const std::scoped_lock lock(kernel_.mutex_);
    if (const int error = Enter(); error != 0) return error;
    FinishRead();
    if (std::atomic_ref(run_->immediate_exit).load(std::memory_order_acquire) != 0) {
      run_->exit_reason = KVM_EXIT_INTR;
      return EINTR;
    }
    if (!script_.empty()) {
      next = std::move(script_.front());
      script_.pop_front();
    }
  }
  if (!next) return WaitForSignal();
  const int error = next(*run_);
  awaits_read_ = error == 0 && run_->exit_reason == KVM_EXIT_MMIO && run_->mmio.is_write == 0;
  return error;
}

}  // namespace microvm::fakes
