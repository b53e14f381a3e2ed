// SPDX-License-Identifier: Apache-2.0
#include "devices/pl011.h"

#include <algorithm>

namespace microvm {
namespace {

// Register offsets (Arm DDI 0183, table 3-1).
enum Register : std::uint64_t {
  kDr = 0x00,
  kRsr = 0x04,
  kFr = 0x18,
  kIlpr = 0x20,
  kIbrd = 0x24,
  kFbrd = 0x28,
  kLcrH = 0x2c,
  kCr = 0x30,
  kIfls = 0x34,
  kImsc = 0x38,
  kRis = 0x3c,
  kMis = 0x40,
  kIcr = 0x44,
  kDmacr = 0x48,
  kPeriphId0 = 0xfe0,
};

constexpr std::uint32_t kFlagRxEmpty = 1U << 4;
constexpr std::uint32_t kFlagTxFull = 1U << 5;
constexpr std::uint32_t kFlagRxFull = 1U << 6;
constexpr std::uint32_t kFlagTxEmpty = 1U << 7;
constexpr std::uint32_t kFlagCts = 1U << 0;
constexpr std::uint32_t kFlagDsr = 1U << 1;
constexpr std::uint32_t kFlagDcd = 1U << 2;

constexpr std::uint32_t kInterruptReceive = 1U << 4;
constexpr std::uint32_t kInterruptTransmit = 1U << 5;
constexpr std::uint32_t kInterruptReceiveTimeout = 1U << 6;
constexpr std::uint32_t kInterruptAll = 0x7ff;

constexpr std::uint32_t kLineControlFifoEnable = 1U << 4;

// UARTPeriphID0-3 and UARTPCellID0-3: part 0x011, designer Arm, revision r1p4.
constexpr std::array<std::uint32_t, 8> kIdentification = {0x11, 0x10, 0x14, 0x00,
                                                          0x0d, 0xf0, 0x05, 0xb1};

}  // namespace

MmioResult Pl011::Read(std::uint64_t offset, std::span<std::byte> out) noexcept {
  // Registers are at most 32 bits wide and start at their offset; narrower reads see the low part.
  if (out.size() > 4 || offset % 4 != 0) return MmioResult::kBadAccess;
  bool known = true;
  std::uint32_t value = 0;
  {
    const std::scoped_lock lock(mutex_);
    value = ReadRegister(offset, known);
  }
  if (!known) return MmioResult::kBadAccess;
  StoreRegister(out, value);
  return MmioResult::kOk;
}

MmioResult Pl011::Write(std::uint64_t offset, std::span<const std::byte> in) noexcept {
  if (in.size() > 4 || offset % 4 != 0) return MmioResult::kBadAccess;
  const std::scoped_lock lock(mutex_);
  return WriteRegister(offset, static_cast<std::uint32_t>(LoadRegister(in)))
             ? MmioResult::kOk
             : MmioResult::kBadAccess;
}

std::uint32_t Pl011::ReadRegister(std::uint64_t offset, bool& known) noexcept {
  switch (offset) {
    case kFr:
      return Flags();
    case kDr:
      return ReadData();
    case kRsr:
      return 0;  // no errors on this line
    case kIlpr:
      return irda_;
    case kIbrd:
      return baud_integer_;
    case kFbrd:
      return baud_fraction_;
    case kLcrH:
      return line_control_;
    case kCr:
      return control_;
    case kIfls:
      return fifo_levels_;
    case kImsc:
      return interrupt_mask_;
    case kRis:
      return raw_interrupts_;
    case kMis:
      return raw_interrupts_ & interrupt_mask_;
    case kIcr:
      return 0;  // write-only
    case kDmacr:
      return dma_control_;
    default:
      if (offset >= kPeriphId0 && (offset - kPeriphId0) / 4 < kIdentification.size()) {
        return kIdentification[(offset - kPeriphId0) / 4];
      }
      known = false;
      return 0;
  }
}

bool Pl011::WriteRegister(std::uint64_t offset, std::uint32_t value) noexcept {
  switch (offset) {
    case kDr:
      WriteData(static_cast<std::uint8_t>(value));
      break;
    case kRsr:
      break;  // clears errors, of which there are none
    case kIlpr:
      irda_ = value & 0xff;
      break;
    case kIbrd:
      baud_integer_ = value & 0xffff;
      break;
    case kFbrd:
      baud_fraction_ = value & 0x3f;
      break;
    case kLcrH:
      line_control_ = value & 0xff;
      UpdateReceiveInterrupts();
      break;
    case kCr:
      control_ = value & 0xffff;
      break;
    case kIfls:
      fifo_levels_ = value & 0x3f;
      UpdateReceiveInterrupts();
      break;
    case kImsc:
      interrupt_mask_ = value & kInterruptAll;
      break;
    case kIcr:
      raw_interrupts_ &= ~value;
      break;
    case kDmacr:
      dma_control_ = value & 0x7;
      break;
    default:
      return offset == kFr || offset == kRis || offset == kMis;  // read-only
  }
  UpdateLine();
  return true;
}

std::uint32_t Pl011::Flags() const noexcept {
  std::uint32_t flags = kFlagCts | kFlagDsr | kFlagDcd;
  if (receive_.empty()) flags |= kFlagRxEmpty;
  if (receive_.size() >= ReceiveDepth()) flags |= kFlagRxFull;
  if (transmit_.full()) flags |= kFlagTxFull;
  // Otherwise what was written has left, as far as the guest can see.
  if (!transmit_.full()) flags |= kFlagTxEmpty;
  return flags;
}

std::uint32_t Pl011::ReadData() noexcept {
  if (receive_.empty()) return 0;
  const std::uint8_t byte = receive_.Pop();
  if (receive_.size() < ReceiveTrigger()) raw_interrupts_ &= ~kInterruptReceive;
  if (receive_.empty()) raw_interrupts_ &= ~kInterruptReceiveTimeout;
  UpdateLine();
  // Half empty before more is asked for: one wake-up of the host for several bytes.
  if (host_has_more_ && receive_.size() <= ReceiveDepth() / 2) {
    host_has_more_ = false;
    host_.ReceiveReady();
  }
  return byte;
}

void Pl011::WriteData(std::uint8_t byte) noexcept {
  if (transmit_.full()) return;  // the guest was told so by TXFF
  transmit_.Push(byte);
  if (!transmit_.full()) raw_interrupts_ |= kInterruptTransmit;
  if (host_idle_) {
    host_idle_ = false;
    host_.TransmitReady();
  }
}

std::size_t Pl011::TakeTransmitted(std::span<std::uint8_t> out) noexcept {
  const std::scoped_lock lock(mutex_);
  const bool was_full = transmit_.full();
  const std::size_t count = std::min(out.size(), transmit_.size());
  for (std::size_t at = 0; at < count; ++at) out[at] = transmit_.Pop();
  if (count < out.size()) host_idle_ = true;
  if (was_full && !transmit_.full()) {
    raw_interrupts_ |= kInterruptTransmit;
    UpdateLine();
  }
  return count;
}

std::size_t Pl011::Receive(std::span<const std::uint8_t> in) noexcept {
  const std::scoped_lock lock(mutex_);
  std::size_t count = 0;
  while (count < in.size() && receive_.size() < ReceiveDepth()) receive_.Push(in[count++]);
  host_has_more_ = count < in.size();
  if (count > 0) {
    UpdateReceiveInterrupts();
    UpdateLine();
  }
  return count;
}

void Pl011::UpdateReceiveInterrupts() noexcept {
  if (receive_.size() >= ReceiveTrigger()) raw_interrupts_ |= kInterruptReceive;
  // The line is idle after each burst of input: the time-out has always passed.
  if (!receive_.empty()) raw_interrupts_ |= kInterruptReceiveTimeout;
}

void Pl011::UpdateLine() noexcept {
  const bool high = (raw_interrupts_ & interrupt_mask_) != 0;
  if (high == line_high_) return;
  line_high_ = high;
  line_.Set(high);
}

std::size_t Pl011::ReceiveDepth() const noexcept {
  return (line_control_ & kLineControlFifoEnable) != 0 ? kReceiveFifoDepth : 1;
}

std::size_t Pl011::ReceiveTrigger() const noexcept {
  if ((line_control_ & kLineControlFifoEnable) == 0) return 1;
  // UARTIFLS bits 5:3: 1/8, 1/4, 1/2, 3/4 or 7/8 full.
  constexpr std::array<std::size_t, 8> kLevels = {2, 4, 8, 12, 14, 14, 14, 14};
  return kLevels[(fifo_levels_ >> 3) & 7];
}

}  // namespace microvm
