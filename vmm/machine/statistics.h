// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace microvm {

// Why a guest stopped running.
enum class StopReason {
  kPowerOff,     // PSCI SYSTEM_OFF
  kReset,        // PSCI SYSTEM_RESET
  kCrash,        // the guest reported a crash
  kVcpuError,    // KVM could not go on with a vCPU
  kTerminated,   // SIGTERM, SIGINT, SIGHUP
  kConsoleQuit,  // the console's escape
};
const char* ToString(StopReason reason);

// What kept one vCPU's thread from its guest, from the first KVM_RUN to the last.
struct VcpuDelays {
  std::uint64_t page_faults = 0;  // getrusage(2): ru_minflt and ru_majflt
  std::uint64_t preemptions = 0;  // ru_nivcsw: another thread had its host CPU
  std::uint64_t allocations = 0;  // with operator new
};

// Exits of one vCPU to user space. Written by its thread only; read by anyone, the delays when the
// thread has ended.
struct VcpuExits {
  std::atomic<std::uint64_t> mmio_read{0};
  std::atomic<std::uint64_t> mmio_write{0};
  std::atomic<std::uint64_t> undecodable{0};  // no ISV: answered with an abort
  std::atomic<std::uint64_t> interrupted{0};  // by a signal
  std::atomic<std::uint64_t> system_event{0};
  std::atomic<std::uint64_t> other{0};
  VcpuDelays delays;

  // Adds one without a locked instruction: there is one writer.
  static void Count(std::atomic<std::uint64_t>& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
};

struct DeviceStatistics {
  std::string name;
  std::optional<std::uint64_t> interrupts = {};  // the host's own count; nothing: it does not tell
  std::uint64_t userspace_irqs = 0;
  std::uint64_t mapped_bytes = 0;
  std::uint64_t trapped_reads = 0;
  std::uint64_t trapped_writes = 0;
  std::uint64_t denied_reads = 0;  // of the trapped ones, by a window of the configuration
  std::uint64_t denied_writes = 0;
  std::uint64_t rearmed_interrupts = 0;  // found masked for good, and unmasked
};

// A device of ours that the guest's virtio drivers drive.
struct VirtioStatistics {
  std::string name;
  // Nothing, all but the last: the host's kernel serves its queues, and does not tell.
  std::optional<std::uint64_t> requests = {};
  std::optional<std::uint64_t> bytes_read = {};  // by the guest
  std::optional<std::uint64_t> bytes_written = {};
  std::optional<std::uint64_t> errors = {};         // requests that were answered with one
  std::optional<std::uint64_t> notifications = {};  // wake-ups of the event loop by the guest's
  std::optional<std::uint64_t> interrupts = {};
  std::uint64_t failures = 0;  // times the guest broke the rules, and was told to reset the device
};

// An emulated PL061.
struct Pl061Statistics {
  std::string name;
  std::uint64_t edges = 0;       // of the host's lines
  std::uint64_t interrupts = 0;  // times its line went high
  std::uint64_t errors = 0;      // what a line does not allow, or the host did not do
};

struct Phase {
  const char* name;
  std::uint64_t ns;
};

// What --stats writes at exit.
struct Statistics {
  std::string name;
  int exit_status = 0;
  std::string exit_reason;
  std::uint64_t boots = 0;                  // times the guest was started, reboots included
  std::vector<Phase> startup;               // of the first boot
  std::uint64_t first_run_boottime_ns = 0;  // CLOCK_BOOTTIME before the first KVM_RUN
  std::uint64_t first_run_cpu_ns = 0;       // CPU time of the process until then
  std::vector<std::pair<std::string, std::uint64_t>> vcpu_exits;  // over all vCPUs and boots
  VcpuDelays vcpu_delays;                                         // the same
  std::uint64_t refused_accesses = 0;
  std::uint64_t rtc_alarms = 0;  // times the PL031's counter came to its match register's value
  std::vector<DeviceStatistics> devices;
  std::vector<VirtioStatistics> virtio;
  std::vector<Pl061Statistics> pl061s;
};

// Adds one vCPU's exits and delays to the totals.
void AddExits(Statistics& statistics, const VcpuExits& exits);

// One JSON object.
std::string FormatJson(const Statistics& statistics);

}  // namespace microvm
