// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/virtio_devices.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <utility>

#include "devices/virtio/block_device.h"
#include "devices/virtio/console_device.h"
#include "devices/virtio/entropy_device.h"
#include "devices/virtio/gpio_device.h"
#include "devices/virtio/net_device.h"
#include "devices/virtio/vsock_device.h"

namespace microvm {
namespace {

// How long a device that has been used may keep what it keeps for the next use.
constexpr std::chrono::seconds kIdle{1};

// The time that a guest needs to send ten packets or so: as many notifications are spared, and no
// packet is late by more than that.
constexpr std::chrono::microseconds kUntilLook{50};

bool AnswersLater(PlannedVirtio::Kind kind) {
  return kind == PlannedVirtio::Kind::kDisk || kind == PlannedVirtio::Kind::kConsole;
}

// A descriptor that can be read when the host has random numbers (drivers/char/random.c:
// random_poll), which one that has just booted may not have; nothing if it has.
Fd AwaitRandom(HostKernel& kernel) {
  std::byte byte{};
  if (::getrandom(&byte, 1, GRND_NONBLOCK) == 1) return {};
  return OpenFd(kernel, "/dev/random", O_RDONLY | O_NONBLOCK);
}

// Whether what is pinned is not counted against the user's limit, which other machines of the same
// user have, too (CAP_IPC_LOCK; io_uring/rsrc.c: io_account_mem).
bool MayPinFreely() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  return ::syscall(SYS_capget, &header, sets.data()) == 0 &&
         (sets[0].effective >> CAP_IPC_LOCK & 1U) != 0;
}

std::unique_ptr<VirtioDevice> MakeGpio(const GpioConfig& config, OpenedGpioLines& opened) {
  std::vector<GpioDevice::Line> lines;
  for (std::size_t index = 0; index < opened.size(); ++index) {
    lines.push_back({std::move(opened[index].pin), config.lines[index].name});
  }
  return std::make_unique<GpioDevice>(std::move(lines));
}

// What a device may signal; those that its kind has no use for are null.
struct DeviceEvents {
  const Fd& interrupt;
  const LoopEvent* ended;
  const LoopEvent* vhost_error;
};

bool IsVhost(const VmConfig& config, const PlannedVirtio& plan) {
  return plan.kind == PlannedVirtio::Kind::kVsock ||
         (plan.kind == PlannedVirtio::Kind::kNet && config.nets[plan.index].vhost);
}

std::unique_ptr<VirtioDevice> MakeDevice(HostKernel& kernel, const VmConfig& config,
                                         const PlannedVirtio& plan, const GuestRam& ram,
                                         Consoles& consoles, OpenedGpioLines* lines,
                                         const DeviceEvents& events) {
  if (plan.kind == PlannedVirtio::Kind::kRng) {
    return std::make_unique<EntropyDevice>(AwaitRandom(kernel));
  }
  if (plan.kind == PlannedVirtio::Kind::kGpio) {
    return MakeGpio(config.gpios[plan.index], *lines);
  }
  if (plan.kind == PlannedVirtio::Kind::kConsole) {
    ConsoleIo& end = consoles.at(plan.index);
    auto console = std::make_unique<ConsoleDevice>(end, events.ended->eventfd());
    end.Attach(console.get());
    return console;
  }
  if (plan.kind == PlannedVirtio::Kind::kVsock) {
    return std::make_unique<VsockDevice>(
        kernel, VsockOptions{.cid = config.vsock->cid, .fd = config.vsock->vhost_fd}, ram,
        VhostEvents{events.interrupt, events.vhost_error->eventfd()});
  }
  if (plan.kind == PlannedVirtio::Kind::kNet) {
    const NetConfig& net = config.nets[plan.index];
    Tap tap(kernel, {.name = net.tap, .descriptors = net.tap_fds, .queues = net.queues});
    std::optional<VhostParts> vhost;
    if (net.vhost) {
      vhost.emplace(
          VhostParts{OpenVhostNet(kernel), ram, {events.interrupt, events.vhost_error->eventfd()}});
    }
    return std::make_unique<NetDevice>(std::move(tap), net.mac, std::move(vhost));
  }
  const DiskConfig& disk = config.disks[plan.index];
  return std::make_unique<BlockDevice>(
      DiskImage(kernel,
                {.path = disk.path.string(), .readonly = disk.readonly, .direct = disk.direct}),
      BlockOptions{.serial = disk.serial,
                   .queues = disk.queues,
                   .locked = config.memory.lock && disk.direct && MayPinFreely()
                                 ? ram.bytes()
                                 : std::span<std::byte>()},
      events.ended->eventfd());
}

MemoryMapping MakeRegisters(HostKernel& kernel) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return MemoryMapping::Anonymous(kernel, std::max(page, std::size_t{MmioTransport::kSizeBytes}),
                                  page, 0);
}

// The loop is told of all queues at once. Of a device with queues that the host's kernel serves it
// is these that are told, each by itself; KVM takes no eventfd for one value beside one for any. A
// notification of another queue of such a device is an exit, and rare: it carries no data.
std::vector<Ioeventfd> ConnectNotifications(const Vm& vm, GuestAddress notify,
                                            const VirtioSlot& slot, LogBudget& log) {
  std::vector<Ioeventfd> notifications;
  std::uint32_t queue = 0;
  for (const Fd& kick : slot.kicks()) notifications.emplace_back(vm, notify, queue++, kick, log);
  if (queue == 0) notifications.emplace_back(vm, notify, std::nullopt, slot.notification(), log);
  return notifications;
}

}  // namespace

InputWatch::InputWatch(EventLoop& loop, int fd, std::function<void()> on_readable)
    : descriptor_(loop, DuplicateForLoop(fd)), on_readable_(std::move(on_readable)) {}

void InputWatch::Await() {
  if (std::exchange(awaits_, true)) return;
  descriptor_.async_wait(asio::posix::descriptor_base::wait_read,
                         [this](const asio::error_code& error) {
                           if (error == asio::error::operation_aborted) return;
                           awaits_ = false;
                           on_readable_();
                         });
}

VirtioSlot::VirtioSlot(EventLoop& loop, HostKernel& kernel, const VmConfig& config,
                       const PlannedVirtio& plan, const GuestRam& ram, Consoles& consoles,
                       OpenedGpioLines* lines)
    : plan_(plan),
      registers_(MakeRegisters(kernel)),
      interrupt_(MakeEventFd(kernel)),
      notified_(loop, kernel,
                [this] {
                  transport_.OnNotified();
                  AfterWork();
                }),
      ended_(AnswersLater(plan.kind)
                 ? std::make_unique<LoopEvent>(loop, kernel, [this] { transport_.OnEnded(); })
                 : nullptr),
      vhost_error_(IsVhost(config, plan) ? std::make_unique<LoopEvent>(
                                               loop, kernel, [this] { transport_.OnVhostError(); })
                                         : nullptr),
      device_(MakeDevice(kernel, config, plan, ram, consoles, lines,
                         {interrupt_, ended_.get(), vhost_error_.get()})),
      transport_(plan.name, *device_, ram, registers_.bytes(), {notified_.eventfd(), interrupt_}),
      look_timer_(loop) {
  for (const int fd : device_->inputs()) {
    const std::size_t input = inputs_.size();
    inputs_.push_back(std::make_unique<InputWatch>(loop, fd, [this, input] {
      transport_.OnInput(input);
      AfterWork();
    }));
  }
  if (plan.kind == PlannedVirtio::Kind::kDisk) idle_timer_.emplace(loop);
  if (lines != nullptr) WatchLines(loop, *lines);
}

// What the device waits for next, besides notifications.
void VirtioSlot::AfterWork() {
  AwaitLook();
  AwaitInputs();
  AwaitIdle();
}

void VirtioSlot::AwaitLook() {
  if (inputs_.empty() || awaits_look_ || !transport_.LooksAgain()) return;
  awaits_look_ = true;
  look_timer_.expires_after(kUntilLook);
  look_timer_.async_wait([this](const asio::error_code& error) {
    if (error) return;
    awaits_look_ = false;
    transport_.LookAgain();
    AfterWork();
  });
}

void VirtioSlot::AwaitInputs() {
  if (inputs_.empty()) return;
  const std::uint32_t awaited = transport_.AwaitedInputs();
  for (std::size_t input = 0; input < inputs_.size(); ++input) {
    if ((awaited >> input & 1U) != 0) inputs_[input]->Await();
  }
}

void VirtioSlot::AwaitIdle() {
  if (!idle_timer_ || std::exchange(awaits_idle_, true)) return;
  idle_timer_->expires_after(kIdle);
  idle_timer_->async_wait([this](const asio::error_code& error) {
    if (error) return;
    awaits_idle_ = false;
    if (!transport_.DropIdle()) AwaitIdle();
  });
}

void VirtioSlot::WatchLines(EventLoop& loop, const OpenedGpioLines& lines) {
  auto& device = static_cast<GpioDevice&>(*device_);
  for (std::size_t line = 0; line < lines.size(); ++line) {
    watches_.emplace_back(loop, *lines[line].events, [this, &device, line] {
      device.EventsReady(line);
      transport_.OnEnded();
      return !device.IsGone(line);
    });
  }
}

std::span<const Fd> VirtioSlot::kicks() const {
  const Vhost* vhost = device_->vhost();
  return vhost == nullptr ? std::span<const Fd>() : vhost->kicks();
}

VirtioDevices::VirtioDevices(EventLoop& loop, HostKernel& kernel, const VmPlan& plan,
                             const GuestRam& ram, Consoles& consoles,
                             std::vector<OpenedGpioLines>& lines)
    : acknowledged_(plan.virtio.empty() ? Fd() : MakeEventFd(kernel)) {
  for (const PlannedVirtio& device : plan.virtio) {
    const bool is_gpio = device.kind == PlannedVirtio::Kind::kGpio;
    slots_.push_back(std::make_unique<VirtioSlot>(loop, kernel, plan.config, device, ram, consoles,
                                                  is_gpio ? &lines[device.index] : nullptr));
  }
}

void VirtioDevices::Map(Vm& vm, MmioBus& bus) {
  for (const auto& slot : slots_) {
    vm.AddReadonlyMemslot(slot->plan().registers.start(), slot->registers());
    bus.Map(slot->plan().registers, slot->transport());
  }
}

std::vector<VirtioConnection> VirtioDevices::Connect(const Vm& vm) {
  std::vector<VirtioConnection> connections;
  for (const auto& slot : slots_) {
    const std::uint64_t start = slot->plan().registers.start().value;
    const GuestAddress notify{start + MmioTransport::kQueueNotify};
    const GuestAddress acknowledge{start + MmioTransport::kInterruptAcknowledge};
    WithContext(Error(slot->plan().name), [&] {
      connections.push_back(
          {ConnectNotifications(vm, notify, *slot, disconnect_log_),
           Ioeventfd(vm, acknowledge, MmioTransport::kUsedBufferSeen, acknowledged_,
                     disconnect_log_),
           Irqfd::Edge(vm, slot->plan().spi, slot->interrupt(), disconnect_log_)});
    });
  }
  return connections;
}

void VirtioDevices::Release() noexcept {
  for (const auto& slot : slots_) slot->transport().Release();
}

void VirtioDevices::Reset() noexcept {
  for (const auto& slot : slots_) {
    if (slot->transport().Reset()) continue;
    std::fprintf(stderr,
                 "microvm: %s: the host's disk has not ended all requests; this process goes when "
                 "it has (see dmesg)\n",
                 slot->plan().name.c_str());
  }
}

bool VirtioDevices::IsBusy() const noexcept {
  return std::ranges::any_of(slots_, [](const auto& slot) { return slot->transport().IsBusy(); });
}

bool VirtioDevices::HoldsVcpu() const noexcept {
  return std::ranges::any_of(slots_,
                             [](const auto& slot) { return slot->transport().IsAwaited(); });
}

std::vector<VirtioStatistics> VirtioDevices::statistics() const {
  std::vector<VirtioStatistics> all;
  for (const auto& slot : slots_) {
    const VirtioCounts counts = slot->transport().counts();
    if (!slot->kicks().empty()) {
      all.push_back({.name = slot->plan().name, .failures = counts.failures});
      continue;
    }
    all.push_back({.name = slot->plan().name,
                   .requests = counts.requests,
                   .bytes_read = counts.traffic.bytes_read,
                   .bytes_written = counts.traffic.bytes_written,
                   .errors = counts.traffic.errors,
                   .notifications = counts.notifications,
                   .interrupts = counts.interrupts,
                   .failures = counts.failures});
  }
  return all;
}

}  // namespace microvm
