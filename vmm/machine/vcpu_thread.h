// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <semaphore>
#include <thread>

#include "devices/mmio_bus.h"
#include "vmm/host/log_budget.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/statistics.h"

namespace microvm {

// One vCPU's thread. It is made stopped, so that its scheduling can be set and every other thread
// made before the guest's first instruction; the destructor stops and joins it. What KVM does at a
// vCPU's first KVM_RUN alone (arch/arm64/kvm/arm.c: kvm_arch_vcpu_run_pid_change) is done by then.
class VcpuThread {
 public:
  // Called at most once, on the vCPU's thread, when the guest asks to stop or cannot go on.
  using StopHandler = std::function<void(StopReason)>;

  // `vcpu`, `bus`, `exits` and `log`, for accesses that cannot be decoded, outlive the thread.
  VcpuThread(unsigned id, Vcpu& vcpu, MmioBus& bus, VcpuExits& exits, LogBudget& log,
             StopHandler on_stop);
  VcpuThread(const VcpuThread&) = delete;
  VcpuThread& operator=(const VcpuThread&) = delete;
  VcpuThread(VcpuThread&&) = delete;
  VcpuThread& operator=(VcpuThread&&) = delete;
  ~VcpuThread();

  // Lets it run.
  void Start();
  // Asks it to stop; returns at once. Any thread.
  void RequestStop() noexcept;

  // Has it leave the guest and wait, and returns when it does, or has ended; Resume lets it go on.
  // Both on one thread, in turn, between Start and the destructor.
  void Pause() noexcept;
  void Resume() noexcept;

  // For HostKernel::SetAffinity and SetScheduler.
  [[nodiscard]] pid_t tid() const { return tid_; }

 private:
  void Main() noexcept;
  // A KVM_RUN that does not enter the guest.
  void Prime() noexcept;
  // Makes it leave the guest. With mutex_ held.
  void Kick() noexcept;
  // Waits out a pause; false if it has to stop.
  bool Linger() noexcept;
  // Runs the guest until it stops; nothing if it was asked to stop.
  std::optional<StopReason> RunGuest() noexcept;
  std::optional<StopReason> HandleExit() noexcept;
  std::optional<StopReason> HandleSystemEvent() noexcept;
  void HandleMmio() noexcept;
  bool HandleUndecodable() noexcept;

  unsigned id_;
  Vcpu& vcpu_;
  MmioBus& bus_;
  StopHandler on_stop_;
  VcpuExits& exits_;
  LogBudget& log_;
  // Set while the thread has to do something else than to run the guest: stop_ or pause_.
  std::atomic<bool> leave_{false};
  std::mutex mutex_;  // guards the four below
  bool stop_ = false;
  bool pause_ = false;
  bool away_ = false;  // out of the guest: paused, or at its end
  std::condition_variable changed_;
  std::binary_semaphore ready_{0};
  std::binary_semaphore start_{0};
  pid_t tid_ = 0;
  std::thread thread_;
};

}  // namespace microvm
