// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_device.h"

#include <linux/if_tun.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

// Linux 6.2; headers may be older.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace microvm {
namespace {

// virtio 1.2, 5.1.3.
enum NetFeature : unsigned {
  kChecksum = 0,
  kGuestChecksum = 1,
  kControlGuestOffloads = 2,
  kMac = 5,
  kGuestTso4 = 7,
  kGuestTso6 = 8,
  kGuestEcn = 9,
  kHostTso4 = 11,
  kHostTso6 = 12,
  kHostEcn = 13,
  kMergeableBuffers = 15,
  kControlQueue = 17,
  kMultiqueue = 22,
  kGuestUso4 = 54,
  kGuestUso6 = 55,
  kHostUso = 56,
};
constexpr std::uint64_t Bit(NetFeature feature) { return std::uint64_t{1} << feature; }

// 5.1.4: offsets in the configuration space.
constexpr std::size_t kConfigMac = 0;
constexpr std::size_t kConfigMaximumPairs = 8;

// 5.1.6.5: classes of commands, their commands, and how they went.
constexpr std::uint8_t kClassManyQueues = 4;
constexpr std::uint8_t kSetPairs = 0;
constexpr std::uint8_t kClassGuestOffloads = 5;
constexpr std::uint8_t kSetGuestOffloads = 0;
constexpr std::uint8_t kAcknowledged = 0;
constexpr std::uint8_t kRefused = 1;

// How often a guest may send and get nothing while it may still be waiting for an answer.
constexpr unsigned kConversation = 4;

constexpr std::uint64_t kGuestOffloads = Bit(kGuestChecksum) | Bit(kGuestTso4) | Bit(kGuestTso6) |
                                         Bit(kGuestEcn) | Bit(kGuestUso4) | Bit(kGuestUso6);

// What a guest takes, as a tap has it.
unsigned TapOffloads(std::uint64_t features) {
  constexpr std::array<std::pair<NetFeature, unsigned>, 6> kSame{{{kGuestChecksum, TUN_F_CSUM},
                                                                  {kGuestTso4, TUN_F_TSO4},
                                                                  {kGuestTso6, TUN_F_TSO6},
                                                                  {kGuestEcn, TUN_F_TSO_ECN},
                                                                  {kGuestUso4, TUN_F_USO4},
                                                                  {kGuestUso6, TUN_F_USO6}}};
  unsigned offloads = 0;
  // 5.1.3.1: all others need the first.
  if ((features & Bit(kGuestChecksum)) == 0) return offloads;
  for (const auto& [feature, offload] : kSame) {
    if ((features & Bit(feature)) != 0) offloads |= offload;
  }
  // A tap has either for both.
  constexpr unsigned kUso = TUN_F_USO4 | TUN_F_USO6;
  return (offloads & kUso) == kUso ? offloads : offloads & ~kUso;
}

// Without the C library's wrappers: they make each call a place where the thread may be cancelled.
std::int64_t WritePacket(int tap, std::span<const iovec> pieces) {
  if (pieces.size() == 1) {
    return ::syscall(SYS_write, tap, pieces.front().iov_base, pieces.front().iov_len);
  }
  return ::syscall(SYS_writev, tap, pieces.data(), pieces.size());
}

}  // namespace

NetDevice::NetDevice(Tap tap, const MacAddress& mac, std::optional<VhostParts> vhost)
    : tap_(std::move(tap)),
      receivers_(tap_.queues()),
      profile_{.id = VirtioId::kNetwork,
               .queues = static_cast<std::uint16_t>(2 * tap_.queues() + 1),
               .config = config_},
      unanswered_(tap_.queues()) {
  MakeProfile(mac);
  if (!vhost) return;
  vhost_.emplace(std::move(vhost->device), tap_.queue(0), vhost->ram, vhost->events);
  // What the kernel has to do, it has to know of.
  profile_.features &= ~Bit(kMergeableBuffers) | vhost_->features();
}

void NetDevice::MakeProfile(const MacAddress& mac) {
  std::memcpy(&config_[kConfigMac], mac.data(), mac.size());
  const auto pairs = static_cast<std::uint16_t>(tap_.queues());
  std::memcpy(&config_[kConfigMaximumPairs], &pairs, sizeof(pairs));
  profile_.features = Bit(kMac) | Bit(kChecksum) | Bit(kHostTso4) | Bit(kHostTso6) | Bit(kHostEcn) |
                      Bit(kMergeableBuffers) | Bit(kControlQueue) | Bit(kControlGuestOffloads) |
                      Bit(kGuestChecksum) | Bit(kGuestTso4) | Bit(kGuestTso6) | Bit(kGuestEcn);
  if (tap_.segments_udp()) {
    profile_.features |= Bit(kHostUso) | Bit(kGuestUso4) | Bit(kGuestUso6);
  }
  if (pairs > 1) profile_.features |= Bit(kMultiqueue);
}

void NetDevice::Start(std::uint64_t features) noexcept {
  features_ = features;
  const bool many = (features & Bit(kMultiqueue)) != 0;
  control_queue_ = static_cast<std::uint16_t>(many ? 2 * tap_.queues() : 2);
  tap_.SetOffloads(TapOffloads(features));
  tap_.Discard();
  for (NetReceiver& receiver : receivers_) {
    receiver.Start((features & Bit(kMergeableBuffers)) != 0);
  }
  // 5.1.5: one pair, until the driver asks for more.
  static_cast<void>(UsePairs(1));
}

bool NetDevice::UsePairs(std::size_t count) noexcept {
  if (!tap_.UseQueues(count)) return false;
  pairs_ = count;
  return true;
}

bool NetDevice::IsReceive(std::uint16_t queue) const noexcept {
  return queue != control_queue_ && queue % 2 == 0 && queue / 2U < receivers_.size();
}

bool NetDevice::Takes(std::uint16_t queue) const noexcept {
  return !IsReceive(queue) || receivers_[queue / 2U].Takes();
}

Handled NetDevice::Handle(std::uint16_t queue, DescriptorChain& chain) noexcept {
  if (queue == control_queue_) return Control(chain);
  // The last queue, where the driver has not agreed on more than one pair.
  if (queue / 2U >= receivers_.size()) return {Handled::How::kMalformed};
  if (IsReceive(queue)) {
    return {receivers_[queue / 2U].Hold(chain) ? Handled::How::kLater : Handled::How::kMalformed};
  }
  Transmit(queue / 2U, chain.Readable());
  return {Handled::How::kDone};
}

void NetDevice::Transmit(std::size_t pair, const ScatterList& packet) noexcept {
  const std::int64_t sent = WritePacket(tap_.queue(pair).get(), packet.pieces());
  if (sent < std::int64_t{kNetHeaderBytes}) {
    ++traffic_.errors;
  } else {
    traffic_.bytes_written += static_cast<std::uint64_t>(sent) - kNetHeaderBytes;
  }
}

Handled NetDevice::Control(DescriptorChain& chain) noexcept {
  ScatterList command = chain.Readable();
  ScatterList writable = chain.Writable();
  std::byte* status = writable.TakeLast();
  if (status == nullptr) return {Handled::How::kMalformed};
  *status = std::byte{Command(command) ? kAcknowledged : kRefused};
  return {Handled::How::kDone, 1};
}

bool NetDevice::Command(ScatterList& command) noexcept {
  std::array<std::uint8_t, 2> what{};  // class and command
  if (!command.Take(what)) return false;
  if (what == std::array{kClassManyQueues, kSetPairs}) {
    std::uint16_t pairs = 0;
    return (features_ & Bit(kMultiqueue)) != 0 && command.Take(pairs) && pairs >= 1 &&
           pairs <= tap_.queues() && UsePairs(pairs);
  }
  if (what == std::array{kClassGuestOffloads, kSetGuestOffloads}) {
    std::uint64_t offloads = 0;
    return (features_ & Bit(kControlGuestOffloads)) != 0 && command.Take(offloads) &&
           (offloads & ~(features_ & kGuestOffloads)) == 0 &&
           tap_.SetOffloads(TapOffloads(offloads));
  }
  return false;
}

std::optional<EndedRequest> NetDevice::NextEnded(bool wait) noexcept {
  // What waits for the host is not under way.
  if (wait || vhost_) return std::nullopt;
  for (std::size_t pair = 0; pair < pairs_; ++pair) {
    if (const auto filled = receivers_[pair].Next(tap_.queue(pair), traffic_)) {
      unanswered_[pair] = 0;
      return EndedRequest{static_cast<std::uint16_t>(2 * pair), filled->head,
                          filled->written_bytes};
    }
  }
  return std::nullopt;
}

void NetDevice::Forget(std::uint16_t queue) noexcept {
  if (IsReceive(queue)) receivers_[queue / 2U].Forget();
  if (queue == 0) tap_.SetOffloads(0);
}

bool NetDevice::LooksAgain(std::uint16_t queue, bool served) noexcept {
  if (queue % 2 == 0) return false;  // but for those that send
  unsigned& times = unanswered_[queue / 2U];
  times = served ? std::min(times + 1, kConversation + 1) : 0;
  return times > kConversation;
}

std::vector<int> NetDevice::inputs() const {
  std::vector<int> descriptors;
  if (vhost_) return descriptors;
  for (std::size_t queue = 0; queue < tap_.queues(); ++queue) {
    descriptors.push_back(tap_.queue(queue).get());
  }
  return descriptors;
}

std::uint32_t NetDevice::AwaitedInputs() const noexcept {
  std::uint32_t awaited = 0;
  for (std::size_t pair = 0; pair < pairs_; ++pair) {
    if (receivers_[pair].AwaitsTap()) awaited |= 1U << pair;
  }
  return awaited;
}

void NetDevice::OnInput(std::size_t input) noexcept { receivers_[input].OnReadable(); }

}  // namespace microvm
