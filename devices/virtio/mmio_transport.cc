// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mmio_transport.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "devices/virtio/vhost.h"
#include "vmm/memory/cache_maintenance.h"

namespace microvm {
namespace {

// virtio 1.2, 4.2.2: offsets of the registers.
enum Register : std::uint64_t {
  kMagicValue = 0x000,
  kVersion = 0x004,
  kDeviceId = 0x008,
  kVendorId = 0x00c,
  kDeviceFeatures = 0x010,
  kDeviceFeaturesSelect = 0x014,
  kDriverFeatures = 0x020,
  kDriverFeaturesSelect = 0x024,
  kQueueSelect = 0x030,
  kQueueSizeMaximum = 0x034,
  kQueueSize = 0x038,
  kQueueReady = 0x044,
  kInterruptStatus = 0x060,
  kStatus = 0x070,
  kQueueDescriptorsLow = 0x080,
  kQueueDescriptorsHigh = 0x084,
  kQueueAvailableLow = 0x090,
  kQueueAvailableHigh = 0x094,
  kQueueUsedLow = 0x0a0,
  kQueueUsedHigh = 0x0a4,
  kSharedMemorySelect = 0x0ac,
  kSharedMemoryLengthLow = 0x0b0,
  kSharedMemoryLengthHigh = 0x0b4,
  kSharedMemoryBaseLow = 0x0b8,
  kSharedMemoryBaseHigh = 0x0bc,
  kConfig = 0x100,
};

constexpr std::uint32_t kMagic = 0x74726976;  // "virt"
constexpr std::uint32_t kModern = 2;
constexpr std::uint32_t kVendor = 0x6d76'6d75;  // "umvm"

// 2.1: bits of the device's status.
constexpr std::uint32_t kAcknowledge = 1;
constexpr std::uint32_t kDriver = 2;
constexpr std::uint32_t kDriverOk = 4;
constexpr std::uint32_t kFeaturesOk = 8;
constexpr std::uint32_t kNeedsReset = 64;
constexpr std::uint32_t kFailed = 128;
constexpr std::uint32_t kDriversBits = kAcknowledge | kDriver | kDriverOk | kFeaturesOk | kFailed;

// 6: features of queue and transport.
constexpr std::uint64_t kIndirectDescriptors = std::uint64_t{1} << 28;
constexpr std::uint64_t kEventIndex = std::uint64_t{1} << 29;
constexpr std::uint64_t kVersion1 = std::uint64_t{1} << 32;

// 4.2.2: reasons in InterruptStatus.
constexpr std::uint32_t kUsedBuffer = MmioTransport::kUsedBufferSeen;
constexpr std::uint32_t kConfigChange = 2;

// The half of a 64-bit value that a select register has chosen; there are two.
std::uint32_t Half(std::uint64_t value, std::uint32_t select) {
  return select > 1 ? 0 : static_cast<std::uint32_t>(value >> (32 * select));
}
void SetHalf(std::uint64_t& value, std::uint32_t select, std::uint32_t half) {
  if (select > 1) return;
  const unsigned shift = 32 * select;
  value = (value & ~(std::uint64_t{UINT32_MAX} << shift)) | std::uint64_t{half} << shift;
}

}  // namespace

MmioTransport::MmioTransport(std::string name, VirtioDevice& device, const GuestRam& ram,
                             std::span<std::byte> registers, const VirtioEvents& events)
    : name_(std::move(name)), device_(device), registers_(registers), queues_(device, ram, events) {
  const auto show = [&](Register offset, std::uint32_t value) {
    StoreRegister(registers_.subspan(offset, 4), value);
  };
  show(kMagicValue, kMagic);
  show(kVersion, kModern);
  show(kDeviceId, static_cast<std::uint32_t>(device.profile().id));
  show(kVendorId, kVendor);
  // 4.2.2: the length and the place of a region of shared memory that is not there; there is none.
  for (const auto offset : {kSharedMemoryLengthLow, kSharedMemoryLengthHigh, kSharedMemoryBaseLow,
                            kSharedMemoryBaseHigh}) {
    show(offset, UINT32_MAX);
  }
  std::ranges::copy(device.profile().config, registers_.subspan(kConfig).begin());
  Show();
}

MmioResult MmioTransport::Read(std::uint64_t offset, std::span<std::byte> out) noexcept {
  if (out.size() > kSizeBytes || offset > kSizeBytes - out.size()) return MmioResult::kBadAccess;
  // A guest reads without an exit; this is for whoever calls.
  const std::scoped_lock lock(mutex_);
  std::ranges::copy(registers_.subspan(offset, out.size()), out.begin());
  return MmioResult::kOk;
}

MmioResult MmioTransport::Write(std::uint64_t offset, std::span<const std::byte> in) noexcept {
  // 4.2.2.2: registers are written whole.
  if (in.size() != 4 || offset % 4 != 0) return MmioResult::kBadAccess;
  const auto value = static_cast<std::uint32_t>(LoadRegister(in));
  const std::scoped_lock lock(mutex_);
  const bool known = offset < kConfig ? WriteRegister(offset, value)
                                      : device_.WriteConfig(offset - kConfig, value);
  Show();
  return known ? MmioResult::kOk : MmioResult::kBadAccess;
}

// What can have changed.
void MmioTransport::Show() noexcept {
  const bool selected = queue_select_ < queues_.size();
  const bool drives = (status_ & kDriverOk) != 0;
  const std::array<std::pair<Register, std::uint32_t>, 5> shown{{
      {kDeviceFeatures, Half(OfferedFeatures(), device_features_select_)},
      {kQueueSizeMaximum, selected ? SplitQueue::kMaximumSize : 0},
      {kQueueReady, selected && queues_.IsReady(queue_select_) ? 1 : 0},
      {kInterruptStatus, (drives ? kUsedBuffer : 0) | (tells_failure_ ? kConfigChange : 0)},
      {kStatus, status_},
  }};
  for (const auto& [offset, value] : shown) {
    auto& word = *reinterpret_cast<std::uint32_t*>(&registers_[offset]);
    std::atomic_ref(word).store(value, std::memory_order_relaxed);
  }
  CleanToPointOfCoherency(registers_.first(kConfig));
}

bool MmioTransport::WriteRegister(std::uint64_t offset, std::uint32_t value) noexcept {
  switch (offset) {
    case kDeviceFeaturesSelect:
      device_features_select_ = value;
      return true;
    case kDriverFeaturesSelect:
      driver_features_select_ = value;
      return true;
    case kDriverFeatures:
      // 2.2: settled with FEATURES_OK.
      if ((status_ & kFeaturesOk) == 0) SetHalf(driver_features_, driver_features_select_, value);
      return true;
    case kQueueSelect:
      queue_select_ = value;
      return true;
    case kInterruptAcknowledge:
      if ((value & kConfigChange) != 0) tells_failure_ = false;
      return true;
    case kQueueNotify:
      // From here only where KVM did not take it, by its ioeventfd.
      queues_.Notify(value);
      return true;
    case kStatus:
      WriteStatus(value);
      return true;
    case kSharedMemorySelect:
      return true;
    default:
      return WriteQueueRegister(offset, value);
  }
}

bool MmioTransport::WriteQueueRegister(std::uint64_t offset, std::uint32_t value) noexcept {
  if (offset < kQueueSize || offset > kQueueUsedHigh) return false;
  // 4.2.2: of a queue that is not there nothing is written; one that runs does not move.
  if (queue_select_ >= queues_.size()) return true;
  if (offset == kQueueReady) {
    WriteReady((value & 1) != 0);
    return true;
  }
  if (queues_.IsReady(queue_select_)) return true;
  QueueLayout& layout = queues_.layout(queue_select_);
  switch (offset) {
    case kQueueSize:
      layout.size = static_cast<std::uint16_t>(std::min<std::uint32_t>(value, UINT16_MAX));
      return true;
    case kQueueDescriptorsLow:
    case kQueueDescriptorsHigh:
      SetHalf(layout.descriptors.value, offset == kQueueDescriptorsHigh ? 1 : 0, value);
      return true;
    case kQueueAvailableLow:
    case kQueueAvailableHigh:
      SetHalf(layout.available.value, offset == kQueueAvailableHigh ? 1 : 0, value);
      return true;
    case kQueueUsedLow:
    case kQueueUsedHigh:
      SetHalf(layout.used.value, offset == kQueueUsedHigh ? 1 : 0, value);
      return true;
    default:
      return false;
  }
}

std::uint64_t MmioTransport::OfferedFeatures() const noexcept {
  const VirtioProfile& profile = device_.profile();
  const std::uint64_t indirect = profile.indirect ? kIndirectDescriptors : 0;
  return profile.features | indirect | kEventIndex | kVersion1;
}

void MmioTransport::WriteStatus(std::uint32_t value) noexcept {
  if (value == 0) {
    if (queues_.Reset(mutex_)) Clear();
    return;
  }
  // 2.1: bits are set one by one, and cleared by a reset only.
  std::uint32_t added = value & kDriversBits & ~status_;
  if ((added & kFeaturesOk) != 0) {
    const bool subset = (driver_features_ & ~OfferedFeatures()) == 0;
    // 2.2: with others the bit stays clear, and the driver sees that it is not taken.
    if (!subset || (driver_features_ & kVersion1) == 0) added &= ~kFeaturesOk;
  }
  status_ |= added;
  if ((added & kDriverOk) == 0 || (status_ & kNeedsReset) != 0) return;
  if ((status_ & kFeaturesOk) == 0 || !queues_.Start(driver_features_)) Fail();
}

void MmioTransport::WriteReady(bool ready) noexcept {
  const bool is_ready = queues_.IsReady(queue_select_);
  if (!ready) {
    if (is_ready) queues_.TakeBack(queue_select_, mutex_);
    return;
  }
  if (is_ready || (status_ & (kFeaturesOk | kNeedsReset)) != kFeaturesOk) return;
  const QueueFeatures features{.indirect = (driver_features_ & kIndirectDescriptors) != 0,
                               .event_index = (driver_features_ & kEventIndex) != 0};
  if (!queues_.SetReady(queue_select_, features)) Fail();
}

void MmioTransport::OnNotified() noexcept {
  const std::scoped_lock lock(mutex_);
  if (!queues_.OnNotified()) Fail();
}

bool MmioTransport::LooksAgain() const noexcept {
  const std::scoped_lock lock(mutex_);
  return queues_.LooksAgain();
}

void MmioTransport::LookAgain() noexcept {
  const std::scoped_lock lock(mutex_);
  if (!queues_.LookAgain()) Fail();
}

void MmioTransport::OnEnded() noexcept {
  const std::scoped_lock lock(mutex_);
  if (!queues_.OnEnded()) Fail();
}

void MmioTransport::OnInput(std::size_t input) noexcept {
  const std::scoped_lock lock(mutex_);
  if (!queues_.OnInput(input)) Fail();
}

bool MmioTransport::DropIdle() noexcept {
  const std::scoped_lock lock(mutex_);
  return device_.DropIdle();
}

std::uint32_t MmioTransport::AwaitedInputs() const noexcept {
  const std::scoped_lock lock(mutex_);
  return queues_.AwaitedInputs();
}

void MmioTransport::OnVhostError() noexcept {
  const std::scoped_lock lock(mutex_);
  // It may be one of before a reset.
  if (const Vhost* vhost = device_.vhost(); vhost != nullptr && vhost->running()) Fail();
}

void MmioTransport::Release() noexcept {
  const std::scoped_lock lock(mutex_);
  queues_.Release();
}

bool MmioTransport::Reset() noexcept {
  const std::scoped_lock lock(mutex_);
  const bool rests = queues_.End();
  Clear();
  Show();
  return rests;
}

bool MmioTransport::IsBusy() const noexcept {
  const std::scoped_lock lock(mutex_);
  return queues_.IsBusy();
}

bool MmioTransport::IsAwaited() const noexcept {
  const std::scoped_lock lock(mutex_);
  return queues_.IsAwaited();
}

void MmioTransport::Clear() noexcept {
  status_ = 0;
  device_features_select_ = driver_features_select_ = queue_select_ = 0;
  driver_features_ = 0;
  tells_failure_ = false;
}

// 2.1.2: the device says that it has met an error it cannot recover from.
void MmioTransport::Fail() noexcept {
  if ((status_ & kNeedsReset) != 0) return;
  status_ |= kNeedsReset;
  ++failures_;
  queues_.Halt();
  const bool drives = (status_ & kDriverOk) != 0;
  tells_failure_ = drives;
  Show();
  if (drives) queues_.Interrupt();
}

VirtioCounts MmioTransport::counts() const {
  const std::scoped_lock lock(mutex_);
  VirtioCounts counts = queues_.counts();
  counts.failures = failures_;
  return counts;
}

}  // namespace microvm
