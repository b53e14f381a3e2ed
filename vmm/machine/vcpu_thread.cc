// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/vcpu_thread.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <system_error>

#include "vmm/host/allocation_count.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

int KickSignal() { return SIGRTMIN; }

// The signal only has to interrupt KVM_RUN.
void InstallKickHandler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(KickSignal(), &action, nullptr);
  });
}

// Threads inherit their maker's mask: vCPU threads are made with every signal blocked but the
// kick, so that the process's signals go to the event loop.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, KickSignal());
    // Faults of the thread itself: their handler restores the terminal.
    for (const int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  BlockedSignals(BlockedSignals&&) = delete;
  BlockedSignals& operator=(BlockedSignals&&) = delete;
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

VcpuDelays DelaysSoFar() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return {static_cast<std::uint64_t>(usage.ru_minflt + usage.ru_majflt),
          static_cast<std::uint64_t>(usage.ru_nivcsw), ThreadAllocations()};
}

}  // namespace

VcpuThread::VcpuThread(unsigned id, Vcpu& vcpu, MmioBus& bus, VcpuExits& exits, LogBudget& log,
                       StopHandler on_stop)
    : id_(id), vcpu_(vcpu), bus_(bus), on_stop_(std::move(on_stop)), exits_(exits), log_(log) {
  InstallKickHandler();
  const BlockedSignals blocked;
  try {
    thread_ = std::thread([this] { Main(); });
  } catch (const std::system_error& error) {
    ThrowErrno(error.code().value(), "pthread_create");  // std::thread's own does not say
  }
  ready_.acquire();
}

VcpuThread::~VcpuThread() {
  RequestStop();
  start_.release();
  thread_.join();
}

void VcpuThread::Start() { start_.release(); }

void VcpuThread::Kick() noexcept {
  leave_.store(true, std::memory_order_relaxed);
  // Before the signal: a KVM_RUN entered after it returns at once too.
  vcpu_.RequestExit();
  pthread_kill(thread_.native_handle(), KickSignal());
}

void VcpuThread::RequestStop() noexcept {
  const std::scoped_lock lock(mutex_);
  stop_ = true;
  Kick();
  changed_.notify_all();
}

void VcpuThread::Pause() noexcept {
  std::unique_lock lock(mutex_);
  pause_ = true;
  Kick();
  changed_.wait(lock, [this] { return away_; });
}

void VcpuThread::Resume() noexcept {
  const std::scoped_lock lock(mutex_);
  pause_ = false;
  changed_.notify_all();
}

bool VcpuThread::Linger() noexcept {
  std::unique_lock lock(mutex_);
  away_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return stop_ || !pause_; });
  if (stop_) return false;
  away_ = false;
  leave_.store(false, std::memory_order_relaxed);
  vcpu_.CancelExit();
  return true;
}

void VcpuThread::Prime() noexcept {
  vcpu_.RequestExit();
  // What is wrong with the vCPU, the first one that shall enter the guest finds again.
  [[maybe_unused]] const int error = vcpu_.Run();
  vcpu_.CancelExit();
}

void VcpuThread::Main() noexcept {
  const std::string name = "vcpu" + std::to_string(id_);
  pthread_setname_np(pthread_self(), name.c_str());
  tid_ = gettid();
  Prime();
  ready_.release();
  start_.acquire();
  const VcpuDelays before = DelaysSoFar();
  const auto reason = RunGuest();
  const VcpuDelays after = DelaysSoFar();
  exits_.delays = {after.page_faults - before.page_faults, after.preemptions - before.preemptions,
                   after.allocations - before.allocations};
  {
    const std::scoped_lock lock(mutex_);
    away_ = true;
    changed_.notify_all();
  }
  if (reason) on_stop_(*reason);
}

std::optional<StopReason> VcpuThread::RunGuest() noexcept {
  while (true) {
    if (leave_.load(std::memory_order_relaxed) && !Linger()) [[unlikely]]
      return std::nullopt;
    const int error = vcpu_.Run();
    if (error == 0) [[likely]] {
      if (const auto reason = HandleExit()) return reason;
    } else if (error == EINTR) {
      VcpuExits::Count(exits_.interrupted);
    } else if (error != EAGAIN) {
      std::fprintf(stderr, "microvm: vCPU %u: KVM_RUN: %s\n", id_, strerrordesc_np(error));
      return StopReason::kVcpuError;
    }
  }
}

std::optional<StopReason> VcpuThread::HandleExit() noexcept {
  const kvm_run& run = vcpu_.run();
  switch (run.exit_reason) {
    [[likely]] case KVM_EXIT_MMIO : HandleMmio();
    return std::nullopt;
    case KVM_EXIT_ARM_NISV:
      if (HandleUndecodable()) return std::nullopt;
      return StopReason::kVcpuError;
    case KVM_EXIT_INTR:
      VcpuExits::Count(exits_.interrupted);
      return std::nullopt;
    case KVM_EXIT_SYSTEM_EVENT:
      VcpuExits::Count(exits_.system_event);
      return HandleSystemEvent();
    default:
      VcpuExits::Count(exits_.other);
      std::fprintf(stderr, "microvm: vCPU %u: KVM cannot go on: exit reason %u\n", id_,
                   run.exit_reason);
      return StopReason::kVcpuError;
  }
}

void VcpuThread::HandleMmio() noexcept {
  auto& mmio = vcpu_.run().mmio;
  const GuestAddress address{mmio.phys_addr};
  // KVM gives 1, 2, 4 or 8; the buffer is what bounds us.
  const std::span<std::byte> data(reinterpret_cast<std::byte*>(&mmio.data[0]),
                                  std::clamp<std::size_t>(mmio.len, 1, sizeof(mmio.data)));
  if (mmio.is_write != 0) {
    VcpuExits::Count(exits_.mmio_write);
    bus_.Write(address, data);
  } else {
    VcpuExits::Count(exits_.mmio_read);
    bus_.Read(address, data);
  }
}

bool VcpuThread::HandleUndecodable() noexcept {
  const auto& access = vcpu_.run().arm_nisv;
  VcpuExits::Count(exits_.undecodable);
  if (const unsigned lines = log_.Take(); lines > 0) {
    std::fprintf(stderr,
                 "microvm: vCPU %u: guest access at 0x%" PRIx64 " (ESR 0x%" PRIx64
                 ") cannot be decoded; it gets an abort%s\n",
                 id_, static_cast<std::uint64_t>(access.fault_ipa),
                 static_cast<std::uint64_t>(access.esr_iss),
                 lines == 1 ? "; further ones are only counted" : "");
  }
  if (vcpu_.InjectExternalAbort()) return true;
  std::fprintf(stderr, "microvm: vCPU %u: KVM_SET_VCPU_EVENTS: %s\n", id_, strerrordesc_np(errno));
  return false;
}

std::optional<StopReason> VcpuThread::HandleSystemEvent() noexcept {
  switch (vcpu_.run().system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
      return StopReason::kPowerOff;
    case KVM_SYSTEM_EVENT_RESET:
      return StopReason::kReset;
    case KVM_SYSTEM_EVENT_CRASH:
      return StopReason::kCrash;
    default:
      // Nothing this program enables has another event; running on is harmless.
      return std::nullopt;
  }
}

}  // namespace microvm
