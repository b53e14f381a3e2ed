// SPDX-License-Identifier: Apache-2.0
#include "devices/gpio/pl061.h"

namespace microvm {
namespace {

// Register offsets (Arm DDI 0190, table 3-1).
enum Register : std::uint64_t {
  kDataEnd = 0x400,  // GPIODATA is all below: bits 9:2 of the address are its mask (3.3.1)
  kDir = 0x400,
  kIs = 0x404,
  kIbe = 0x408,
  kIev = 0x40c,
  kIe = 0x410,
  kRis = 0x414,
  kMis = 0x418,
  kIc = 0x41c,
  kAfsel = 0x420,
  kPeriphId0 = 0xfe0,
};

// GPIOPeriphID0-3 and GPIOPCellID0-3: part 0x061, designer Arm.
constexpr std::array<std::uint8_t, 8> kIdentification = {0x61, 0x10, 0x04, 0x00,
                                                         0x0d, 0xf0, 0x05, 0xb1};

constexpr std::uint8_t Bit(std::size_t line) { return static_cast<std::uint8_t>(1U << line); }
constexpr bool Has(std::uint8_t bits, std::size_t line) { return (bits & Bit(line)) != 0; }
void SetBit(std::uint8_t& bits, std::size_t line, bool value) {
  bits = static_cast<std::uint8_t>(value ? bits | Bit(line) : bits & ~Bit(line));
}
std::uint8_t MaskOf(std::uint64_t offset) { return static_cast<std::uint8_t>(offset >> 2); }

}  // namespace

Pl061::Pl061(std::string name, std::vector<GpioPin> pins)
    : name_(std::move(name)), pins_(std::move(pins)) {
  Reset();
}

MmioResult Pl061::Read(std::uint64_t offset, std::span<std::byte> out) noexcept {
  // Registers are 8 bits wide, at multiples of 4.
  if (out.size() > 4 || offset % 4 != 0) return MmioResult::kBadAccess;
  bool known = true;
  std::uint8_t value = 0;
  {
    const std::scoped_lock lock(mutex_);
    value = ReadRegister(offset, known);
  }
  if (!known) return MmioResult::kBadAccess;
  StoreRegister(out, value);
  return MmioResult::kOk;
}

MmioResult Pl061::Write(std::uint64_t offset, std::span<const std::byte> in) noexcept {
  if (in.size() > 4 || offset % 4 != 0) return MmioResult::kBadAccess;
  const std::scoped_lock lock(mutex_);
  return WriteRegister(offset, static_cast<std::uint8_t>(LoadRegister(in)))
             ? MmioResult::kOk
             : MmioResult::kBadAccess;
}

std::uint8_t Pl061::ReadRegister(std::uint64_t offset, bool& known) noexcept {
  if (offset < kDataEnd) return ReadData(MaskOf(offset));
  switch (offset) {
    case kDir:
      return direction_;
    case kIs:
      return level_;
    case kIbe:
      return both_edges_;
    case kIev:
      return rising_high_;
    case kIe:
      return enabled_;
    case kRis:
      return RawInterrupts();
    case kMis:
      UpdateLine();  // of a level that has gone without an edge that may be watched
      return static_cast<std::uint8_t>(RawInterrupts() & enabled_);
    case kIc:
      return 0;  // write-only
    case kAfsel:
      return mode_;
    default:
      if (offset >= kPeriphId0 && (offset - kPeriphId0) / 4 < kIdentification.size()) {
        return kIdentification[(offset - kPeriphId0) / 4];
      }
      known = false;
      return 0;
  }
}

bool Pl061::WriteRegister(std::uint64_t offset, std::uint8_t value) noexcept {
  if (offset < kDataEnd) {
    WriteData(MaskOf(offset), value);
    return true;
  }
  switch (offset) {
    case kDir:
      WriteDirection(value);
      break;
    case kIs:
      level_ = value;
      break;
    case kIbe:
      both_edges_ = value;
      break;
    case kIev:
      rising_high_ = value;
      break;
    case kIe:
      enabled_ = value;
      looked_for_ |= value;
      break;
    case kIc:
      latched_ = static_cast<std::uint8_t>(latched_ & ~value);
      break;
    case kAfsel:
      mode_ = value;
      return true;
    default:
      // GPIORIS, GPIOMIS and the identification are read-only.
      return offset == kRis || offset == kMis || offset >= kPeriphId0;
  }
  UpdateWatches();
  UpdateLine();
  return true;
}

std::uint8_t Pl061::ReadData(std::uint8_t mask) noexcept {
  std::uint8_t data = 0;
  for (std::size_t line = 0; line < pins_.size(); ++line) {
    if (!Has(mask, line)) continue;
    const auto high = pins_[line].Read();
    if (!high) ++counts_.errors;
    SetBit(data, line, high.value_or(false));
  }
  return data;
}

void Pl061::WriteData(std::uint8_t mask, std::uint8_t value) noexcept {
  for (std::size_t line = 0; line < pins_.size(); ++line) {
    if (!Has(mask, line)) continue;
    SetBit(output_, line, Has(value, line));
    if (Has(direction_, line) && !pins_[line].Drive(Has(value, line))) ++counts_.errors;
  }
}

void Pl061::WriteDirection(std::uint8_t value) noexcept {
  for (std::size_t line = 0; line < pins_.size(); ++line) {
    const bool output = Has(value, line);
    if (output == Has(direction_, line)) continue;
    GpioPin& pin = pins_[line];
    if (!(output ? pin.MakeOutput(Has(output_, line)) : pin.MakeInput())) {
      ++counts_.errors;
      continue;
    }
    SetBit(direction_, line, output);
    watched_[line] = GpioEdges::kNone;
  }
}

// 3.2.3: the edges that a line's interrupt is made of. A level is over with the other edge, where
// that may be watched.
GpioEdges Pl061::WantedEdges(std::size_t line) const noexcept {
  if (!Has(looked_for_, line) || Has(direction_, line)) return GpioEdges::kNone;
  const bool is_level = Has(level_, line);
  if (!is_level && Has(both_edges_, line)) return GpioEdges::kBoth;
  if (is_level && pins_[line].MayWatch(GpioEdges::kBoth)) return GpioEdges::kBoth;
  return Has(rising_high_, line) ? GpioEdges::kRising : GpioEdges::kFalling;
}

void Pl061::UpdateWatches() noexcept {
  for (std::size_t line = 0; line < pins_.size(); ++line) {
    const GpioEdges wanted = WantedEdges(line);
    if (wanted == watched_[line]) continue;
    watched_[line] = wanted;
    // What is denied is not asked for again until something else is wanted.
    if (pins_[line].Watch(wanted)) continue;
    ++counts_.errors;
    [[maybe_unused]] const bool stopped = pins_[line].MakeInput();
  }
}

std::uint8_t Pl061::RawInterrupts() noexcept {
  std::uint8_t raw = 0;
  for (std::size_t line = 0; line < pins_.size(); ++line) {
    if (Has(direction_, line)) continue;
    if (!Has(level_, line)) {
      SetBit(raw, line, Has(latched_, line));
    } else if (pins_[line].MayWatch(Has(rising_high_, line) ? GpioEdges::kRising
                                                            : GpioEdges::kFalling)) {
      SetBit(raw, line, pins_[line].Read() == Has(rising_high_, line));
    }
  }
  return raw;
}

void Pl061::UpdateLine() noexcept {
  const bool high = enabled_ != 0 && (RawInterrupts() & enabled_) != 0;
  if (high == line_high_) return;
  line_high_ = high;
  if (high) ++counts_.interrupts;
  if (line_ != nullptr) line_->Set(high);
}

bool Pl061::TakeEvents(std::size_t line) noexcept {
  const std::scoped_lock lock(mutex_);
  const GpioEvents events = pins_[line].TakeEvents();
  counts_.edges += events.count;
  const GpioEdges meant = Has(level_, line) ? GpioEdges::kNone : WantedEdges(line);
  if ((events.edges & meant) != GpioEdges::kNone) latched_ |= Bit(line);
  UpdateLine();
  return !events.gone;
}

void Pl061::Connect(IrqLine* line) noexcept {
  const std::scoped_lock lock(mutex_);
  line_ = line;
}

void Pl061::Reset() noexcept {
  const std::scoped_lock lock(mutex_);
  output_ = direction_ = 0;
  for (std::size_t line = 0; line < pins_.size(); ++line) {
    pins_[line].Restore();
    SetBit(output_, line, pins_[line].found_high());
    SetBit(direction_, line, pins_[line].is_output());
  }
  level_ = both_edges_ = rising_high_ = enabled_ = latched_ = mode_ = looked_for_ = 0;
  watched_.fill(GpioEdges::kNone);
  UpdateLine();
}

Pl061Counts Pl061::counts() const {
  const std::scoped_lock lock(mutex_);
  return counts_;
}

}  // namespace microvm
