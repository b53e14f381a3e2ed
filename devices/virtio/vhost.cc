// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/vhost.h"

#include <sched.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "devices/virtio/vhost_uapi.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::uint64_t Bit(unsigned feature) { return std::uint64_t{1} << feature; }

// What the transport offers of every device (virtio 1.2, 6).
constexpr std::uint64_t kOfEveryDevice =
    Bit(VIRTIO_RING_F_INDIRECT_DESC) | Bit(VIRTIO_RING_F_EVENT_IDX) | Bit(VIRTIO_F_VERSION_1);

// The regions follow it: an array without a size in struct vhost_memory, which is not C++.
struct MemoryTable {
  std::uint32_t regions;
  std::uint32_t padding = 0;
};
static_assert(sizeof(MemoryTable) == sizeof(vhost_memory));

std::uint64_t AddressOf(const std::byte* part) {
  return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(part));
}

// The kernel's thread that serves the queues has the scheduling policy of the thread that makes it
// (Linux 6.4 and later, kernel/vhost_task.c). With SCHED_BATCH a notification does not have it
// preempt the vCPU, where they share a CPU, and serve one packet at a time.
void SetOwner(const Fd& device) {
  const sched_param none{};
  const bool ordinary = ::sched_getscheduler(0) == SCHED_OTHER;
  if (ordinary) ::sched_setscheduler(0, SCHED_BATCH, &none);
  const int result = device.kernel().Ioctl(device.get(), VHOST_SET_OWNER, nullptr);
  const int error = errno;
  if (ordinary) ::sched_setscheduler(0, SCHED_OTHER, &none);
  if (result < 0) ThrowErrno(error, "VHOST_SET_OWNER");
}

}  // namespace

std::uint64_t VhostFeatures(const Fd& device) {
  std::uint64_t offered = 0;
  CheckedIoctl(device, IOCTL_CODE(VHOST_GET_FEATURES), &offered);
  if ((offered & kOfEveryDevice) != kOfEveryDevice) {
    throw Error("the kernel's vhost lacks features of virtio 1.0 queues: it offers " + Hex(offered),
                "use a kernel 5.10 or later");
  }
  return offered;
}

Vhost::Vhost(Fd device, std::size_t queues, const GuestRam& ram, const VhostEvents& events)
    : device_(std::move(device)), features_(VhostFeatures(device_)) {
  SetOwner(device_);
  ShareRam(ram);
  for (std::uint32_t index = 0; index < queues; ++index) ConnectQueue(index, events);
}

void Vhost::ShareRam(const GuestRam& ram) {
  std::vector<vhost_memory_region> regions;
  for (const AddressRange& range : ram.ranges()) {
    const std::byte* start = ram.Find(range.start(), range.size_bytes()).data();
    regions.push_back({.guest_phys_addr = range.start().value,
                       .memory_size = range.size_bytes(),
                       .userspace_addr = AddressOf(start),
                       .flags_padding = 0});
  }
  const MemoryTable header{.regions = static_cast<std::uint32_t>(regions.size())};
  const std::size_t regions_bytes = regions.size() * sizeof(regions[0]);
  std::vector<std::byte> table(sizeof(header) + regions_bytes);
  std::memcpy(table.data(), &header, sizeof(header));
  std::memcpy(&table[sizeof(header)], regions.data(), regions_bytes);
  CheckedIoctl(device_, IOCTL_CODE(VHOST_SET_MEM_TABLE), table.data());
}

void Vhost::ConnectQueue(std::uint32_t index, const VhostEvents& events) {
  kicks_.push_back(MakeEventFd(device_.kernel()));
  const auto connect = [&](IoctlCode code, const Fd& eventfd) {
    vhost_vring_file file{.index = index, .fd = eventfd.get()};
    CheckedIoctl(device_, code, &file);
  };
  connect(IOCTL_CODE(VHOST_SET_VRING_KICK), kicks_.back());
  connect(IOCTL_CODE(VHOST_SET_VRING_CALL), events.interrupt);
  connect(IOCTL_CODE(VHOST_SET_VRING_ERR), events.error);
}

bool Vhost::Start(std::uint64_t features, std::span<const QueueParts> queues) noexcept {
  if (running_ || queues.size() != kicks_.size()) return false;
  std::uint64_t known = features & features_;
  if (!Tell(VHOST_SET_FEATURES, &known)) return false;
  for (std::uint32_t index = 0; index < queues.size(); ++index) {
    if (!SetUpQueue(index, queues[index])) return false;
  }
  running_ = SetServing(true);
  // Of several queues the kernel may have begun with some.
  if (!running_) static_cast<void>(SetServing(false));
  return running_;
}

// A driver's new queue begins at its first entry; the kernel keeps where the last one ended.
bool Vhost::SetUpQueue(std::uint32_t index, const QueueParts& parts) noexcept {
  vhost_vring_state size{.index = index, .num = parts.size};
  vhost_vring_state first{.index = index, .num = 0};
  vhost_vring_addr places{.index = index,
                          .flags = 0,
                          .desc_user_addr = AddressOf(parts.descriptors),
                          .used_user_addr = AddressOf(parts.used),
                          .avail_user_addr = AddressOf(parts.available),
                          .log_guest_addr = 0};
  return Tell(VHOST_SET_VRING_NUM, &size) && Tell(VHOST_SET_VRING_BASE, &first) &&
         Tell(VHOST_SET_VRING_ADDR, &places);
}

void Vhost::Stop() noexcept {
  if (!std::exchange(running_, false)) return;
  static_cast<void>(SetServing(false));
}

bool Vhost::Tell(unsigned long request, void* argument) const noexcept {
  return device_.kernel().Ioctl(device_.get(), request, argument) >= 0;
}

}  // namespace microvm
