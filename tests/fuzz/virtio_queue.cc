// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: guest RAM with a split queue somewhere in it, and what was agreed on for it.
// The device's end must stay inside that RAM, whatever is there and whatever it writes itself.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "devices/virtio/split_queue.h"

namespace {

using namespace microvm;

constexpr std::uint64_t kStart = 0x4000'0000;
constexpr unsigned kMostChains = 1024;

struct alignas(4096) Ram {
  std::array<std::byte, 16384> bytes;
};
Ram ram;

// The first bytes of an input; what follows them is RAM.
struct Setting {
  std::uint16_t size;
  std::uint16_t descriptors;  // these three are offsets in RAM
  std::uint16_t available;
  std::uint16_t used;
  std::uint8_t features;
  std::uint8_t fill;  // what the device writes to the guest's buffers
};

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

bool IsInside(const iovec& piece) {
  const auto* start = static_cast<const std::byte*>(piece.iov_base);
  return start >= ram.bytes.data() && piece.iov_len <= ram.bytes.size() &&
         start + piece.iov_len <= ram.bytes.data() + ram.bytes.size();
}

void Use(DescriptorChain& chain, std::uint8_t fill) {
  ScatterList readable = chain.Readable();
  ScatterList writable = chain.Writable();
  for (const iovec& piece : readable.pieces()) Require(IsInside(piece) && piece.iov_len > 0);
  for (const iovec& piece : writable.pieces()) Require(IsInside(piece) && piece.iov_len > 0);
  std::array<std::byte, 16> header{};
  const std::uint64_t before = readable.size_bytes();
  if (readable.TakeFirst(header)) Require(readable.size_bytes() == before - header.size());
  if (std::byte* last = writable.TakeLast()) *last = std::byte{fill};
  header.fill(std::byte{fill});
  while (writable.PutFirst(header) == header.size()) {
  }
  Require(writable.pieces().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Setting setting{};
  if (size < sizeof(setting)) return 0;
  std::memcpy(&setting, data, sizeof(setting));
  ram.bytes.fill(std::byte{0});
  std::memcpy(ram.bytes.data(), data + sizeof(setting),
              std::min(size - sizeof(setting), ram.bytes.size()));
  const GuestRam guest({AddressRange({kStart}, ram.bytes.size())}, ram.bytes);
  static DescriptorChain chain;
  SplitQueue queue;
  const QueueLayout layout{setting.size,
                           {kStart + setting.descriptors},
                           {kStart + setting.available},
                           {kStart + setting.used}};
  if (!queue.Start(
          guest, layout,
          {.indirect = (setting.features & 1) != 0, .event_index = (setting.features & 2) != 0})) {
    return 0;
  }
  for (unsigned taken = 0; taken < kMostChains; ++taken) {
    queue.IgnoreNotifications();
    const SplitQueue::Next next = queue.Take(chain);
    if (next == SplitQueue::Next::kBroken) break;
    if (next == SplitQueue::Next::kNothing) {
      if (!queue.AwaitNotification()) break;
      continue;
    }
    Use(chain, setting.fill);
    if (taken % 3 != 2) queue.GiveBack(chain.head(), taken);
    if (taken % 2 != 0) static_cast<void>(queue.Publish());
  }
  return 0;
}
