// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/machine.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "vmm/host/error.h"
#include "vmm/host/interrupt_counts.h"
#include "vmm/machine/thread_placement.h"

namespace microvm {
namespace {

// A line that is stuck is found at the second look after its last interrupt.
constexpr auto kBetweenLooks = std::chrono::seconds(5);

bool NeedsDma(const VmPlan& plan) {
  return std::any_of(plan.devices.begin(), plan.devices.end(),
                     [](const PlannedDevice& device) { return device.dma != DmaMode::kNone; });
}

GuestMemory MakeMemory(HostKernel& kernel, const VmPlan& plan, const IdentityRam* identity_ram) {
  const MemoryConfig& config = plan.config.memory;
  const GuestMemoryOptions options{.hugepage_bytes = config.hugepage_bytes, .lock = config.lock};
  if (identity_ram == nullptr) return {kernel, plan.ram, options};
  return {kernel, plan.ram, options, identity_ram->bytes()};
}

std::vector<std::unique_ptr<VfioPlatformDevice>> MakeDevices(
    const VmPlan& plan, std::vector<std::unique_ptr<VfioDevice>> opened) {
  std::vector<std::unique_ptr<VfioPlatformDevice>> devices;
  for (std::size_t index = 0; index < opened.size(); ++index) {
    WithContext(Error("device '" + plan.devices[index].host + "'"), [&] {
      devices.push_back(
          std::make_unique<VfioPlatformDevice>(std::move(opened[index]), plan.devices[index]));
    });
  }
  return devices;
}

std::uint64_t NsOf(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// Whether a device may go on writing to the RAM when the machine has ended.
bool HasLooseDevice(const VmPlan& plan) {
  return std::any_of(plan.devices.begin(), plan.devices.end(), [](const PlannedDevice& device) {
    return device.dma == DmaMode::kIdentity && device.reset.policy == ResetPolicy::kNone;
  });
}

}  // namespace

Machine::Machine(HostKernel& kernel, const HostSysfs& sysfs, const Kvm& kvm, const VmPlan& plan,
                 const BootImages& images, OpenedDevices opened, StopSignals& stop_signals)
    : kernel_(kernel),
      sysfs_(sysfs),
      kvm_(kvm),
      plan_(plan),
      images_(images),
      identity_ram_(std::move(opened.identity_ram)),
      memory_(MakeMemory(kernel, plan, identity_ram_.get())),
      spaces_(std::move(opened.spaces)),
      devices_(MakeDevices(plan, std::move(opened.devices))),
      watch_(kernel, sysfs, devices_),
      look_timer_(loop_),
      consoles_(loop_, kernel, plan.config.consoles, [this] { Stop(StopReason::kConsoleQuit); }),
      stop_signals_(stop_signals),
      stop_descriptor_(loop_, DuplicateForLoop(stop_signals.fd())),
      vcpu_stopped_(loop_, kernel, [this] { OnVcpuStopped(); }) {
  statistics_.name = plan.config.name;
  // Ordinary vCPUs leave every other thread its share; their start need not look at the CPUs.
  if (plan.config.cpu.policy != SchedulingPolicy::kOther) {
    PlaceOwnThread(kernel, PlanOwnThread(plan.config, UsableCpus(sysfs)));
  }
  std::vector<OpenedGpioLines> lines = OpenGpioLines(kernel, sysfs.root(), plan.config.gpios);
  virtio_.emplace(loop_, kernel, plan, memory_.ram(), consoles_, lines);
  pl061s_.emplace(loop_, plan, lines);
  // What an earlier user left running, killed perhaps, stops before it can reach this guest's RAM.
  ResetDevices();
  GiveBackRam();
  if (identity_ram_ && identity_ram_->left_over()) memory_.Clear(true);
  for (const auto& entry : spaces_.entries) {
    if (!entry.maps_ram) continue;
    for (const AddressRange& range : plan.ram) {
      entry.space->MapDma(range, memory_.Span(range.start(), range.size_bytes()).data());
    }
  }
  counts_.resize(devices_.size());
  for (std::size_t index = 0; index < devices_.size(); ++index) {
    // The host keeps counting where an earlier user of the line left off.
    counts_[index].host_interrupts_before = VfioInterrupts(sysfs_, devices_[index]->name());
  }
  if (plan.rtc) {
    clock_.emplace(loop_, [this] {
      if (pl031_ != nullptr) pl031_->OnAlarm();
    });
  }
  DivertInterrupts();
  AwaitStop();
}

void Machine::AwaitLook(GuestBoot& guest) {
  if (watch_.empty()) return;
  look_timer_.expires_after(kBetweenLooks);
  // One that is due when a boot ends finds another boot, or a guest that has stopped.
  look_timer_.async_wait([this, &guest, boot = statistics_.boots](const asio::error_code& error) {
    if (error || boot != statistics_.boots) return;
    // One that waits for a disk of the host's would not pause.
    if (!virtio_->HoldsVcpu()) watch_.Look([&guest](Spi spi) { return guest.ReadSpi(spi); });
    AwaitLook(guest);
  });
}

void Machine::AwaitStop() {
  stop_descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                              [this](const asio::error_code& error) {
                                if (error) return;
                                stop_signals_.Take();
                                Stop(StopReason::kTerminated);
                                AwaitStop();
                              });
}

StopReason Machine::Run() {
  std::exception_ptr failure;
  StopReason reason{};
  if (identity_ram_) identity_ram_->Keep();
  try {
    reason = RunBoots();
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    ResetDevices();
    GiveBackRam();
  } catch (const std::exception& error) {
    if (failure) std::fprintf(stderr, "microvm: %s", FormatChain(error).c_str());
    if (!failure) failure = std::current_exception();
  }
  CollectDevices();
  if (failure) std::rethrow_exception(failure);
  return reason;
}

StopReason Machine::RunBoots() {
  StopReason reason = RunBoot();
  while (reason == StopReason::kReset) {
    ResetDevices();
    memory_.Clear(NeedsDma(plan_));
    reason = RunBoot();
  }
  return reason;
}

StopReason Machine::RunBoot() {
  const std::uint64_t start_ns = NsOf(CLOCK_BOOTTIME);
  const BootParts parts{.kernel = kernel_,
                        .kvm = kvm_,
                        .plan = plan_,
                        .images = images_,
                        .memory = memory_,
                        .devices = devices_,
                        .virtio = *virtio_,
                        .pl061s = *pl061s_,
                        .pl011_host = consoles_.pl011(),
                        .clock = clock_ ? &*clock_ : nullptr,
                        .refused_log = refused_log_,
                        .undecodable_log = undecodable_log_};
  std::optional<FifoSection> teardown;  // outlives the guest
  GuestBoot guest(parts, [this](StopReason reason) {
    // The first vCPU to ask is heard.
    int nothing = kNothing;
    vcpu_stop_.compare_exchange_strong(nothing, static_cast<int>(reason));
    vcpu_stopped_.Signal();
  });
  AttachEmulated(&guest);
  const InterruptSteering steering = SteerInterrupts();
  if (statistics_.boots == 0) {
    statistics_.first_run_boottime_ns = NsOf(CLOCK_BOOTTIME);
    statistics_.first_run_cpu_ns = NsOf(CLOCK_PROCESS_CPUTIME_ID);
    statistics_.startup.push_back({"boot", statistics_.first_run_boottime_ns - start_ns});
  }
  guest.Start();
  ++statistics_.boots;
  loop_.restart();
  AwaitLook(guest);
  while (!stop_reason_) loop_.run_one();
  look_timer_.cancel();
  guest.Join();
  vcpu_stop_ = kNothing;
  // The memory is not the next boot's before the host's disks have ended this one's requests.
  while (stop_reason_ == StopReason::kReset && virtio_->IsBusy()) loop_.run_one();
  consoles_.Drain();
  AttachEmulated(nullptr);
  for (const VcpuExits& exits : guest.exits()) AddExits(statistics_, exits);
  statistics_.refused_accesses += guest.refused_accesses();
  teardown.emplace(kernel_);
  return *std::exchange(stop_reason_, std::nullopt);
}

// The devices that each boot has anew.
void Machine::AttachEmulated(GuestBoot* guest) {
  if (ConsoleIo* const console = consoles_.pl011()) {
    console->Attach(guest == nullptr ? nullptr : guest->pl011());
  }
  if (pl031_ != nullptr) statistics_.rtc_alarms += pl031_->matches();
  pl031_ = guest == nullptr ? nullptr : guest->pl031();
}

InterruptSteering Machine::SteerInterrupts() {
  InterruptSteering steering(sysfs_);
  const RealtimeConfig& realtime = plan_.config.realtime;
  if (!realtime.enabled || !realtime.steer_interrupts) return steering;
  for (const auto& device : devices_) {
    steering.Steer(device->name(), plan_.config.cpu.affinity.front());
  }
  return steering;
}

void Machine::OnVcpuStopped() {
  if (const int reason = vcpu_stop_; reason != kNothing) Stop(static_cast<StopReason>(reason));
}

// One that cannot be brought to rest does not keep the others from it.
void Machine::ResetDevices() {
  pl061s_->Reset();
  std::exception_ptr failure;
  for (const auto& device : devices_) {
    try {
      WithContext(Error("cannot bring device '" + device->name() + "' to rest"),
                  [&] { device->Reset(); });
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  }
  // Last, as it may wait for a disk of the host's.
  virtio_->Reset();
  if (failure) std::rethrow_exception(failure);
}

// Where a device is left running on purpose, its RAM stays with it.
void Machine::GiveBackRam() {
  if (identity_ram_ && !HasLooseDevice(plan_)) identity_ram_->GiveBack();
}

void Machine::Stop(StopReason reason) {
  // A request from outside outlives a reboot that the guest asks for at the same time.
  if (!stop_reason_ || *stop_reason_ == StopReason::kReset) stop_reason_ = reason;
}

void Machine::DivertInterrupts() {
  for (std::size_t device = 0; device < devices_.size(); ++device) {
    const PlannedDevice& plan = devices_[device]->plan();
    if (plan.interrupt_path == InterruptPath::kIrqfd) continue;
    for (std::uint32_t index = 0; index < plan.interrupts.size(); ++index) {
      if (plan.interrupts[index].repeats) continue;
      diversions_.push_back(std::make_unique<LoopEvent>(loop_, kernel_, [this, device, index] {
        ++counts_[device].userspace_irqs;
        SignalEventFd(devices_[device]->kvm_trigger(index));
      }));
      devices_[device]->DivertInterrupt(index, diversions_.back()->eventfd());
    }
  }
}

void Machine::CollectDevices() {
  statistics_.virtio = virtio_->statistics();
  statistics_.pl061s = pl061s_->statistics();
  for (std::size_t index = 0; index < devices_.size(); ++index) {
    const auto& device = devices_[index];
    const DeviceCounts& counts = counts_[index];
    std::optional<std::uint64_t> interrupts = VfioInterrupts(sysfs_, device->name());
    if (interrupts && counts.host_interrupts_before &&
        *interrupts >= *counts.host_interrupts_before) {
      *interrupts -= *counts.host_interrupts_before;
    } else {
      interrupts.reset();
    }
    const TrappedCounts trapped = device->trapped();
    statistics_.devices.push_back({.name = device->name(),
                                   .interrupts = interrupts,
                                   .userspace_irqs = counts.userspace_irqs,
                                   .mapped_bytes = device->mapped_bytes(),
                                   .trapped_reads = trapped.reads,
                                   .trapped_writes = trapped.writes,
                                   .denied_reads = trapped.denied_reads,
                                   .denied_writes = trapped.denied_writes,
                                   .rearmed_interrupts = watch_.rearmed(index)});
  }
}

}  // namespace microvm
