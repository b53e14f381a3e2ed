// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/machine.h"

#include <signal.h>
#include <time.h>

#include <algorithm>
#include <asio/post.hpp>
#include <cstdio>

#include "vmm/host/error.h"

namespace microvm {
namespace {

bool NeedsDma(const VmPlan& plan) {
  return std::any_of(plan.devices.begin(), plan.devices.end(),
                     [](const PlannedDevice& device) { return device.dma == DmaMode::kIommu; });
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

std::uint64_t BoottimeNs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

Machine::Machine(HostKernel& kernel, const HostSysfs& sysfs, const Kvm& kvm, const VmPlan& plan,
                 const BootImages& images, OpenedDevices opened)
    : kernel_(kernel),
      sysfs_(sysfs),
      kvm_(kvm),
      plan_(plan),
      images_(images),
      memory_(
          kernel, plan.ram,
          {.hugepage_bytes = plan.config.memory.hugepage_bytes, .lock = plan.config.memory.lock}),
      containers_(std::move(opened.containers)),
      devices_(MakeDevices(plan, std::move(opened.devices))),
      signals_(loop_, SIGINT, SIGTERM, SIGHUP),
      console_(loop_, kernel, plan.config.console, [this] { Stop(StopReason::kConsoleQuit); }) {
  statistics_.name = plan.config.name;
  if (NeedsDma(plan)) containers_.mapped->MapDma(plan.ram, memory_.host_start());
  signals_.async_wait([this](const asio::error_code& error, int) {
    if (!error) Stop(StopReason::kTerminated);
  });
}

StopReason Machine::Run() {
  for (;;) {
    const StopReason reason = RunBoot();
    if (reason != StopReason::kReset) {
      CollectDevices();
      return reason;
    }
    ResetForReboot();
  }
}

StopReason Machine::RunBoot() {
  const std::uint64_t boot = ++statistics_.boots;
  const BootParts parts{.kernel = kernel_,
                        .kvm = kvm_,
                        .plan = plan_,
                        .images = images_,
                        .memory = memory_,
                        .devices = devices_,
                        .console_host = console_};
  GuestBoot guest(parts, [this, boot](StopReason reason) {
    asio::post(loop_, [this, boot, reason] {
      // A second vCPU of an earlier boot may have had something to say too.
      if (boot == statistics_.boots) Stop(reason);
    });
  });
  console_.Attach(plan_.config.console.enabled ? &guest.console() : nullptr);
  if (boot == 1) statistics_.first_run_boottime_ns = BoottimeNs();
  guest.Start();
  loop_.restart();
  while (!stop_reason_) loop_.run_one();
  guest.Join();
  console_.Drain();
  console_.Attach(nullptr);
  for (const VcpuExits& exits : guest.exits()) AddExits(statistics_, exits);
  statistics_.refused_accesses += guest.refused_accesses();
  return *std::exchange(stop_reason_, std::nullopt);
}

void Machine::ResetForReboot() {
  for (const auto& device : devices_) {
    WithContext(Error("device '" + device->name() + "'"), [&] { device->Reset(); });
  }
  memory_.Clear(NeedsDma(plan_));
}

void Machine::Stop(StopReason reason) {
  // A request from outside outlives a reboot that the guest asks for at the same time.
  if (!stop_reason_ || *stop_reason_ == StopReason::kReset) stop_reason_ = reason;
}

void Machine::CollectDevices() {
  for (const auto& device : devices_) {
    statistics_.devices.push_back({.name = device->name(),
                                   .interrupts = sysfs_.VfioInterrupts(device->name()),
                                   .userspace_irqs = 0,
                                   .mapped_bytes = device->mapped_bytes(),
                                   .trapped_reads = device->trapped_reads(),
                                   .trapped_writes = device->trapped_writes()});
  }
}

}  // namespace microvm
