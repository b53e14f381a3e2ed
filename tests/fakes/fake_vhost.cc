// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_vhost.h"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <cerrno>

namespace microvm::fakes {

long FakeVhost::Ioctl(unsigned long request, void* argument) {
  switch (request) {
    case VHOST_GET_FEATURES:
      CopyOut(argument, kernel_.host.vhost_features);
      return 0;
    case VHOST_SET_FEATURES:
      if ((CopyIn<std::uint64_t>(argument) & ~kernel_.host.vhost_features) != 0) return -EOPNOTSUPP;
      state_.features = CopyIn<std::uint64_t>(argument);
      return 0;
    case VHOST_SET_OWNER:
      if (state_.owned) return -EBUSY;
      state_.owned = true;
      state_.policy = ::sched_getscheduler(0);  // inherited: vhost_task_create
      return 0;
    case VHOST_VSOCK_SET_GUEST_CID:
      return SetCid(CopyIn<std::uint64_t>(argument));
    default:
      break;
  }
  // vhost_dev_check_owner.
  if (!state_.owned) return -EPERM;
  switch (request) {
    case VHOST_SET_MEM_TABLE:
      return SetMemory(argument);
    case VHOST_NET_SET_BACKEND:
      return SetBackend(CopyIn<vhost_vring_file>(argument));
    case VHOST_VSOCK_SET_RUNNING:
      return SetRunning(CopyIn<int>(argument));
    default:
      return SetQueue(request, argument);
  }
}

long FakeVhost::SetMemory(const void* table) {
  constexpr std::uint32_t kMaximumRegions = 64;  // max_mem_regions
  // struct vhost_memory, without what follows.
  const auto [regions, padding] = CopyIn<std::array<std::uint32_t, 2>>(table);
  if (padding != 0) return -EOPNOTSUPP;
  if (regions > kMaximumRegions) return -E2BIG;
  state_.memory.clear();
  for (std::uint32_t index = 0; index < regions; ++index) {
    const auto region =
        CopyIn<vhost_memory_region>(static_cast<const std::byte*>(table) + sizeof(vhost_memory) +
                                    index * sizeof(vhost_memory_region));
    if (region.memory_size == 0) return -EINVAL;
    state_.memory.push_back({region.guest_phys_addr, region.memory_size, region.userspace_addr});
  }
  return 0;
}

// vhost_vring_ioctl.
long FakeVhost::SetQueue(unsigned long request, void* argument) {
  const auto index = CopyIn<std::uint32_t>(argument);
  if (index >= state_.queues.size()) return -ENOBUFS;
  VhostQueue& queue = state_.queues[index];
  switch (request) {
    case VHOST_SET_VRING_NUM:
      return SetSize(queue, CopyIn<vhost_vring_state>(argument).num);
    case VHOST_SET_VRING_BASE:
      if (state_.running) return -EBUSY;
      queue.base = CopyIn<vhost_vring_state>(argument).num;
      return queue.base > 0xffff ? -EINVAL : 0;
    case VHOST_SET_VRING_ADDR:
      return SetPlaces(queue, CopyIn<vhost_vring_addr>(argument));
    case VHOST_SET_VRING_KICK:
      return SetFile(queue.kick, CopyIn<vhost_vring_file>(argument));
    case VHOST_SET_VRING_CALL:
      return SetFile(queue.call, CopyIn<vhost_vring_file>(argument));
    case VHOST_SET_VRING_ERR:
      return SetFile(queue.error, CopyIn<vhost_vring_file>(argument));
    default:
      return -ENOTTY;
  }
}

long FakeVhost::SetSize(VhostQueue& queue, std::uint32_t size) const {
  if (state_.running) return -EBUSY;
  if (size > 0xffff || !std::has_single_bit(size)) return -EINVAL;
  queue.size = size;
  return 0;
}

long FakeVhost::SetPlaces(VhostQueue& queue, const vhost_vring_addr& places) {
  if (places.flags != 0) return -EOPNOTSUPP;
  if (places.avail_user_addr % 2 != 0 || places.used_user_addr % 4 != 0) return -EINVAL;
  queue.descriptors = places.desc_user_addr;
  queue.available = places.avail_user_addr;
  queue.used = places.used_user_addr;
  return 0;
}

long FakeVhost::SetFile(int& eventfd, const vhost_vring_file& file) const {
  if (file.fd >= 0 && !kernel_.IsEventFd(file.fd)) return -EINVAL;
  eventfd = file.fd;
  return 0;
}

// vhost_vsock_set_cid.
long FakeVhost::SetCid(std::uint64_t cid) {
  if (name_ != "vhost-vsock") return -ENOTTY;
  if (cid <= 2 || cid >= UINT32_MAX) return -EINVAL;
  const auto others = kernel_.All<FakeVhost>();
  const bool taken = std::any_of(others.begin(), others.end(), [&](const FakeVhost* other) {
    return other != this && other->state_.cid == cid;
  });
  if (taken) return -EADDRINUSE;
  state_.cid = cid;
  return 0;
}

// The kernel looks at the queues by addresses of the process, wherever they are in it; this
// program's are where its memory table says that the guest's RAM is.
long FakeVhost::Begin(const VhostQueue& queue) {
  const std::uint64_t size = queue.size;
  if (size == 0) return -EFAULT;
  if (!IsShared(queue.descriptors, 16 * size) || !IsShared(queue.available, 6 + 2 * size) ||
      !IsShared(queue.used, 6 + 8 * size)) {
    kernel_.Violation("a queue of vhost is not in the memory it may use");
  }
  if (queue.base != 0) kernel_.Violation("a queue of vhost does not begin at its start");
  return 0;
}

// Where the kernel would go on: it does not start anew by itself.
void FakeVhost::NoteEnd() {
  for (VhostQueue& queue : state_.queues) queue.base += state_.running ? 1 : 0;
  state_.running = false;
}

long FakeVhost::SetRunning(int running) {
  if (name_ != "vhost-vsock") return -ENOTTY;
  if (running != 0 && running != 1) return -EINVAL;
  NoteEnd();
  if (running == 0) return 0;
  for (const VhostQueue& queue : state_.queues) {
    if (const long error = Begin(queue); error != 0) return error;
  }
  state_.running = true;
  return 0;
}

// vhost_net_set_backend; it runs when both queues have one.
long FakeVhost::SetBackend(const vhost_vring_file& backend) {
  if (name_ != "vhost-net") return -ENOTTY;
  if (backend.index >= state_.queues.size()) return -ENOBUFS;
  VhostQueue& queue = state_.queues[backend.index];
  if (backend.fd < 0) {
    NoteEnd();
    queue.backend = -1;
    return 0;
  }
  if (const long error = Begin(queue); error != 0) return error;
  queue.backend = backend.fd;
  state_.running = state_.queues[0].backend >= 0 && state_.queues[1].backend >= 0;
  return 0;
}

bool FakeVhost::IsShared(std::uint64_t start, std::uint64_t length) const {
  return std::any_of(state_.memory.begin(), state_.memory.end(), [&](const auto& region) {
    const auto& [guest, bytes, host] = region;
    return start >= host && start + length <= host + bytes;
  });
}

bool FakeVhost::Uses(std::uint64_t start, std::uint64_t end) const {
  return std::any_of(state_.memory.begin(), state_.memory.end(), [&](const auto& region) {
    const auto& [guest, bytes, host] = region;
    return host < end && start < host + bytes;
  });
}

bool FakeVhost::Signals(int eventfd) const {
  return std::any_of(state_.queues.begin(), state_.queues.end(), [&](const VhostQueue& queue) {
    return queue.kick == eventfd || queue.call == eventfd || queue.error == eventfd;
  });
}

void FakeVhost::Closing() {
  if (state_.running) kernel_.Violation("vhost closed while it serves a guest");
}

}  // namespace microvm::fakes
