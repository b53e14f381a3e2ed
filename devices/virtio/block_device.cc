// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/block_device.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <utility>

#include "devices/virtio/split_queue.h"

namespace microvm {
namespace {

using Kind = DiskOperation::Kind;

// virtio 1.2, 5.2.3.
enum Feature : unsigned {
  kSegmentMaximum = 2,
  kReadOnly = 5,
  kBlockSize = 6,
  kFlush = 9,
  kTopology = 10,
  kManyQueues = 12,
  kDiscard = 13,
  kWriteZeroes = 14,
};
constexpr std::uint64_t Bit(Feature feature) { return std::uint64_t{1} << feature; }

// 5.2.4: offsets in the configuration space.
enum ConfigField : std::size_t {
  kConfigCapacity = 0,
  kConfigSegmentMaximum = 12,
  kConfigBlockSize = 20,
  kConfigPhysicalBlockExponent = 24,
  kConfigMinimumIo = 26,
  kConfigQueues = 34,
  kConfigDiscardSectors = 36,
  kConfigDiscardSegments = 40,
  kConfigDiscardAlignment = 44,
  kConfigZeroSectors = 48,
  kConfigZeroSegments = 52,
  kConfigZeroMayUnmap = 56,
};

// 5.2.6: types of requests, how they went, and the flag of a range.
enum RequestType : std::uint32_t {
  kTypeIn = 0,
  kTypeOut = 1,
  kTypeFlush = 4,
  kTypeGetId = 8,
  kTypeDiscard = 11,
  kTypeWriteZeroes = 13,
};
constexpr std::uint8_t kStatusOk = 0;
constexpr std::uint8_t kStatusIoError = 1;
constexpr std::uint8_t kStatusUnsupported = 2;
constexpr std::uint32_t kRangeUnmap = 1;

constexpr std::uint64_t kSectorBytes = 512;
// Of one range to discard or to fill with zeros; the host does either without touching the bytes.
constexpr std::uint32_t kRangeSectors = 1U << 22;  // 2 GiB

template <typename Value>
void Put(std::span<std::byte> config, ConfigField field, Value value) {
  std::memcpy(&config[field], &value, sizeof(value));
}

}  // namespace

struct BlockDevice::Header {
  std::uint32_t type;
  std::uint32_t reserved;
  std::uint64_t sector;
};

struct BlockDevice::Range {
  std::uint64_t sector;
  std::uint32_t sectors;
  std::uint32_t flags;
};

BlockDevice::BlockDevice(DiskImage image, const BlockOptions& options, const Fd& ended)
    : image_(std::move(image)),
      profile_{.id = VirtioId::kBlock, .queues = options.queues, .config = config_},
      requests_(std::size_t{options.queues} * SplitQueue::kMaximumSize),
      free_tags_(requests_.size()),
      io_(image_, static_cast<unsigned>(requests_.size()), ended) {
  std::iota(free_tags_.begin(), free_tags_.end(), 0U);
  const auto serial = std::as_bytes(std::span(options.serial));
  std::copy_n(serial.begin(), std::min(serial.size(), serial_.size()), serial_.begin());
  MakeConfig(options);
  if (!image_.in_memory() && !options.locked.empty()) io_.FixBuffers(options.locked);
}

void BlockDevice::MakeConfig(const BlockOptions& options) {
  profile_.features = Bit(kSegmentMaximum) | Bit(kBlockSize) | Bit(kFlush) | Bit(kTopology);
  const std::uint32_t block = image_.block_bytes();
  const std::uint32_t physical = image_.physical_block_bytes();
  Put(config_, kConfigCapacity, image_.size_bytes() / kSectorBytes);
  // Beside the header and the status.
  Put(config_, kConfigSegmentMaximum, std::uint32_t{SplitQueue::kMaximumSize - 2});
  Put(config_, kConfigBlockSize, block);
  Put(config_, kConfigPhysicalBlockExponent,
      static_cast<std::uint8_t>(std::countr_zero(physical / block)));
  Put(config_, kConfigMinimumIo, static_cast<std::uint16_t>(physical / block));
  Put(config_, kConfigQueues, options.queues);
  if (options.queues > 1) profile_.features |= Bit(kManyQueues);
  if (image_.readonly()) {
    profile_.features |= Bit(kReadOnly);
    return;
  }
  profile_.features |= Bit(kDiscard) | Bit(kWriteZeroes);
  Put(config_, kConfigDiscardSectors, kRangeSectors);
  Put(config_, kConfigDiscardSegments, std::uint32_t{1});
  Put(config_, kConfigDiscardAlignment, static_cast<std::uint32_t>(physical / kSectorBytes));
  Put(config_, kConfigZeroSectors, kRangeSectors);
  Put(config_, kConfigZeroSegments, std::uint32_t{1});
  Put(config_, kConfigZeroMayUnmap, std::uint8_t{1});
}

void BlockDevice::Start(std::uint64_t features) noexcept {
  // 5.2.6.2: a driver that cannot flush relies on each write.
  writes_through_ = (features & Bit(kFlush)) == 0;
  canceled_ = false;
}

Handled BlockDevice::Handle(std::uint16_t queue, DescriptorChain& chain) noexcept {
  ScatterList readable = chain.Readable();
  ScatterList writable = chain.Writable();
  Header header{};
  // There are as many tags as the queues have entries, and a queue gives no more
  // (SplitQueue::Take).
  Request& request = requests_[free_tags_.back()];
  request = {.queue = queue, .head = chain.head(), .status = writable.TakeLast()};
  if (request.status == nullptr || !readable.Take(header)) return {Handled::How::kMalformed};
  switch (header.type) {
    case kTypeIn:
      request.operation.kind = Kind::kRead;
      return Transfer(request, header, writable);
    case kTypeOut:
      request.operation.kind = Kind::kWrite;
      return Transfer(request, header, readable);
    case kTypeFlush:
      request.operation.kind = Kind::kFlush;
      return Begin(request, {});
    case kTypeGetId:
      return SendIdentity(request, writable);
    case kTypeDiscard:
    case kTypeWriteZeroes:
      return ZeroOrDiscard(request, header, readable);
    default:
      return Answer(request, kStatusUnsupported, 0);
  }
}

bool BlockDevice::IsInside(std::uint64_t sector, std::uint64_t length_bytes) const noexcept {
  const std::uint64_t capacity = image_.size_bytes() / kSectorBytes;
  return length_bytes % kSectorBytes == 0 && sector <= capacity &&
         length_bytes / kSectorBytes <= capacity - sector;
}

Handled BlockDevice::Transfer(Request& request, const Header& header,
                              const ScatterList& data) noexcept {
  const bool is_write = request.operation.kind == Kind::kWrite;
  const std::uint64_t length = data.size_bytes();
  if (!IsInside(header.sector, length) || (is_write && image_.readonly())) {
    return Answer(request, kStatusIoError, 0);
  }
  if (length == 0) return Answer(request, kStatusOk, 0);
  request.operation.offset = header.sector * kSectorBytes;
  request.operation.length_bytes = length;
  request.operation.durable = is_write && writes_through_;
  return Begin(request, data.pieces());
}

Handled BlockDevice::ZeroOrDiscard(Request& request, const Header& header,
                                   ScatterList& data) noexcept {
  Range range{};
  const bool is_discard = header.type == kTypeDiscard;
  if (image_.readonly()) return Answer(request, kStatusIoError, 0);
  if (data.size_bytes() != sizeof(range) || !data.Take(range)) {
    return Answer(request, kStatusUnsupported, 0);
  }
  // 5.2.6.2: one flag, and none for what is discarded.
  if ((range.flags & ~kRangeUnmap) != 0 || (is_discard && range.flags != 0)) {
    return Answer(request, kStatusUnsupported, 0);
  }
  const std::uint64_t length = range.sectors * kSectorBytes;
  if (range.sectors > kRangeSectors || !IsInside(range.sector, length)) {
    return Answer(request, kStatusIoError, 0);
  }
  if (length == 0) return Answer(request, kStatusOk, 0);
  request.keeps_room = !is_discard && (range.flags & kRangeUnmap) == 0;
  request.operation = {.kind = request.keeps_room ? Kind::kZeroRange : Kind::kPunchHole,
                       .offset = range.sector * kSectorBytes,
                       .length_bytes = length};
  return Begin(request, {});
}

Handled BlockDevice::SendIdentity(const Request& request, ScatterList& data) noexcept {
  const std::size_t sent = data.PutFirst(serial_);
  return Answer(request, kStatusOk, static_cast<std::uint32_t>(sent));
}

Handled BlockDevice::Begin(Request& request, std::span<const iovec> pieces) noexcept {
  const Kind kind = request.operation.kind;
  // A file that was cut off is not made longer again, with zeros in between.
  if (kind != Kind::kRead && kind != Kind::kFlush && !image_.IsWhole()) {
    return Answer(request, kStatusIoError, 0);
  }
  const std::uint32_t tag = free_tags_.back();
  auto result = io_.Start(request.operation, pieces, tag);
  while (result && Continue(request, *result)) result = io_.Start(request.operation, {}, tag);
  if (result) return End(request, *result);
  free_tags_.pop_back();
  return {Handled::How::kLater};
}

bool BlockDevice::Continue(Request& request, std::int64_t result) noexcept {
  Kind& kind = request.operation.kind;
  if (kind == Kind::kZeroRange && result == -EOPNOTSUPP) {
    kind = Kind::kPunchHole;
    return true;
  }
  if (kind == Kind::kPunchHole && request.keeps_room && result == 0) {
    kind = Kind::kAllocate;
    return true;
  }
  return false;
}

std::optional<EndedRequest> BlockDevice::NextEnded(bool wait) noexcept {
  while (const auto ended = io_.Next(wait)) {
    Request& request = requests_[ended->tag];
    std::optional<std::int64_t> result = ended->result;
    while (result && !canceled_ && Continue(request, *result)) {
      result = io_.Start(request.operation, {}, ended->tag);
    }
    if (!result) {
      io_.Submit();
      continue;
    }
    const Handled handled = End(request, *result);
    free_tags_.push_back(ended->tag);
    return EndedRequest{request.queue, request.head, handled.written_bytes};
  }
  return std::nullopt;
}

Handled BlockDevice::End(const Request& request, std::int64_t result) noexcept {
  const DiskOperation& operation = request.operation;
  const auto length = static_cast<std::uint32_t>(operation.length_bytes);
  switch (operation.kind) {
    case Kind::kRead:
      if (!std::cmp_equal(result, length)) break;
      traffic_.bytes_read += length;
      return Answer(request, kStatusOk, length);
    case Kind::kWrite:
      if (!std::cmp_equal(result, length)) break;
      traffic_.bytes_written += length;
      return Answer(request, kStatusOk, 0);
    default:
      if (result == 0) return Answer(request, kStatusOk, 0);
      // The host cannot: a driver writes zeros itself then, and does not discard again.
      if (result == -EOPNOTSUPP) return Answer(request, kStatusUnsupported, 0);
      break;
  }
  return Answer(request, kStatusIoError, 0);
}

Handled BlockDevice::Answer(const Request& request, std::uint8_t status,
                            std::uint32_t data_bytes) noexcept {
  *request.status = std::byte{status};
  if (status != kStatusOk) ++traffic_.errors;
  return {Handled::How::kDone, data_bytes + 1};
}

}  // namespace microvm
