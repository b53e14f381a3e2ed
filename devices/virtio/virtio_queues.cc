// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/virtio_queues.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "devices/virtio/vhost.h"

namespace microvm {
namespace {

// How many requests are served before their ends are told, and the loop may see to other things.
constexpr unsigned kShare = 64;
// So many bytes count as another one.
constexpr std::uint32_t kShareBytes = 1U << 18;
// A vCPU that waits looks itself so often, in case that the event loop has no time for it.
constexpr auto kWaitStep = std::chrono::milliseconds(10);

}  // namespace

VirtioQueues::VirtioQueues(VirtioDevice& device, const GuestRam& ram, const VirtioEvents& events)
    : device_(device), ram_(ram), events_(events), queues_(device.profile().queues) {}

bool VirtioQueues::SetReady(std::size_t index, const QueueFeatures& features) noexcept {
  Queue& queue = queues_[index];
  return queue.ring.Start(ram_, queue.layout, features);
}

void VirtioQueues::TakeBack(std::size_t index, std::mutex& held) noexcept {
  if (Vhost* vhost = device_.vhost(); vhost != nullptr) vhost->Stop();
  if (!AwaitRest(held)) return;
  device_.Forget(static_cast<std::uint16_t>(index));
  queues_[index].ring.Stop();
  queues_[index].waits = queues_[index].looks_again = false;
  // For the others, which nobody has looked at meanwhile.
  SignalEventFd(events_.notification);
}

bool VirtioQueues::Start(std::uint64_t features) noexcept {
  device_.Start(features & device_.profile().features);
  if (!StartVhost(features)) return false;
  started_ = true;
  // What the driver put there before may have been notified already.
  SignalEventFd(events_.notification);
  return true;
}

void VirtioQueues::Halt() noexcept {
  started_ = false;
  if (Vhost* vhost = device_.vhost(); vhost != nullptr) vhost->Stop();
}

bool VirtioQueues::Reset(std::mutex& held) noexcept {
  if (device_.IsBusy()) device_.Cancel();
  if (!AwaitRest(held)) return false;
  Clear();
  return true;
}

std::span<const Fd> VirtioQueues::Kicks() const noexcept {
  const Vhost* const vhost = device_.vhost();
  return vhost == nullptr ? std::span<const Fd>() : vhost->kicks();
}

void VirtioQueues::Notify(std::uint32_t queue) noexcept {
  const std::span<const Fd> kicks = Kicks();
  SignalEventFd(queue < kicks.size() ? kicks[queue] : events_.notification);
}

bool VirtioQueues::OnNotified() noexcept {
  ++counts_.notifications;
  return LookAgain();
}

bool VirtioQueues::LooksAgain() const noexcept {
  return Serves() && std::ranges::any_of(queues_, &Queue::looks_again);
}

bool VirtioQueues::LookAgain() noexcept {
  bool more = false;
  for (std::size_t index = Kicks().size(); index < queues_.size(); ++index) {
    if (!Serves() || !queues_[index].ring.running()) continue;
    if (Serve(static_cast<std::uint16_t>(index))) more = true;
  }
  device_.Submit();
  if (TakeEnded()) more = true;
  PublishAll();
  if (more) SignalEventFd(events_.notification);
  return !broken_;
}

bool VirtioQueues::OnEnded() noexcept {
  const bool more = TakeEnded();
  PublishAll();
  if (more) SignalEventFd(events_.notification);
  if (waiting_ > 0) ended_.notify_all();
  return !broken_;
}

bool VirtioQueues::OnInput(std::size_t input) noexcept {
  device_.OnInput(input);
  return OnEnded();
}

std::uint32_t VirtioQueues::AwaitedInputs() const noexcept {
  return Serves() ? device_.AwaitedInputs() : 0;
}

bool VirtioQueues::Serves() const noexcept {
  return started_ && !broken_ && !released_ && waiting_ == 0;
}

// True if there may be more.
bool VirtioQueues::Serve(std::uint16_t index) noexcept {
  SplitQueue& ring = queues_[index].ring;
  ring.IgnoreNotifications();
  for (unsigned served = 0; served < kShare;) {
    queues_[index].waits = !device_.Takes(index);
    if (queues_[index].waits) return false;
    switch (ring.Take(chain_)) {
      case SplitQueue::Next::kNothing:
        queues_[index].looks_again = device_.LooksAgain(index, served > 0);
        if (queues_[index].looks_again || !ring.AwaitNotification()) return false;
        ++served;  // an index that goes back and forth does not keep the loop here
        break;
      case SplitQueue::Next::kBroken:
        broken_ = true;
        return false;
      case SplitQueue::Next::kChain: {
        const Handled handled = device_.Handle(index, chain_);
        served += 1 + handled.written_bytes / kShareBytes;
        if (handled.how == Handled::How::kMalformed) {
          broken_ = true;
          return false;
        }
        if (handled.how == Handled::How::kLater) break;
        ring.GiveBack(chain_.head(), handled.written_bytes);
        ++counts_.requests;
        break;
      }
    }
  }
  return true;
}

// True if there may be more.
bool VirtioQueues::TakeEnded() noexcept {
  bool more = false;
  for (unsigned taken = 0; taken < kShare;) {
    while (const auto ended = device_.NextEnded(false)) {
      ++taken;
      SplitQueue& ring = queues_[ended->queue].ring;
      if (!ring.running()) continue;
      ring.GiveBack(ended->head, ended->written_bytes);
      ++counts_.requests;
    }
    bool refilled = false;
    for (std::size_t at = 0; at < queues_.size(); ++at) {
      const auto index = static_cast<std::uint16_t>(at);
      if (!Serves() || !queues_[at].waits || !device_.Takes(index)) continue;
      refilled = true;
      if (Serve(index)) more = true;
    }
    // What could be taken now may be what others waited for.
    if (!refilled) return more;
  }
  return true;
}

void VirtioQueues::PublishAll() noexcept {
  bool wanted = false;
  for (Queue& queue : queues_) {
    if (queue.ring.running() && queue.ring.Publish()) wanted = true;
  }
  if (wanted) Interrupt();
}

void VirtioQueues::Interrupt() noexcept {
  ++counts_.interrupts;
  SignalEventFd(events_.interrupt);
}

// The kernel serves all of its queues, or none.
bool VirtioQueues::StartVhost(std::uint64_t features) noexcept {
  const std::size_t count = Kicks().size();
  if (count == 0) return true;
  std::array<QueueParts, Vhost::kMaximumQueues> parts;
  for (std::size_t index = 0; index < count; ++index) {
    if (!queues_[index].ring.running()) return false;
    parts[index] = queues_[index].ring.parts();
  }
  return device_.vhost()->Start(features, std::span(parts).first(count));
}

// True when nothing is in flight; false if it was released before.
bool VirtioQueues::AwaitRest(std::mutex& held) noexcept {
  ++waiting_;
  while (TakeEnded() || (device_.IsBusy() && !released_)) ended_.wait_for(held, kWaitStep);
  --waiting_;
  return !device_.IsBusy();
}

void VirtioQueues::Release() noexcept {
  released_ = true;
  ended_.notify_all();
}

bool VirtioQueues::End() noexcept {
  released_ = false;
  if (device_.IsBusy()) device_.Cancel();
  while (device_.IsBusy() && device_.NextEnded(true)) {
  }
  Clear();
  return !device_.IsBusy();
}

void VirtioQueues::Clear() noexcept {
  Halt();
  for (std::size_t index = 0; index < queues_.size(); ++index) {
    device_.Forget(static_cast<std::uint16_t>(index));
    queues_[index] = Queue();
  }
  broken_ = false;
}

VirtioCounts VirtioQueues::counts() const {
  VirtioCounts counts = counts_;
  counts.traffic = device_.traffic();
  return counts;
}

}  // namespace microvm
