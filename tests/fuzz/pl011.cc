// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: what a guest does to a PL011's registers, and the host at its other end, in
// steps of 4 bytes. Its line must always be what its registers say, and no byte is lost or made up.
#include "devices/pl011.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>

namespace {

using namespace microvm;

constexpr std::uint64_t kData = 0x00;
constexpr std::uint64_t kFlags = 0x18;
constexpr std::uint64_t kMaskedStatus = 0x40;
constexpr std::uint64_t kTransmitFull = 1U << 5;

struct UartStep {
  enum Kind : std::uint8_t { kWrite, kRead, kTake, kReceive, kSend, kKinds };
  std::uint8_t kind;
  std::uint8_t where;  // of a register: a quarter of its offset
  std::uint16_t value;
};

class Line final : public IrqLine {
 public:
  void Set(bool high) noexcept override {
    if (high == is_high) __builtin_trap();
    is_high = high;
  }
  bool is_high = false;
};

class Host final : public ConsoleHost {
 public:
  void TransmitReady() noexcept override {}
  void ReceiveReady() noexcept override {}
};

struct Uart {
  std::uint64_t Read(std::uint64_t offset, std::size_t width = 4) {
    std::array<std::byte, 8> data{};
    device.Read(offset, std::span(data).first(width));
    return LoadRegister(data);
  }
  void Write(std::uint64_t offset, std::uint64_t value, std::size_t width) {
    std::array<std::byte, 8> data{};
    StoreRegister(data, value);
    const bool is_full = (Read(kFlags) & kTransmitFull) != 0;
    const MmioResult result = device.Write(offset, std::span(data).first(width));
    if (offset == kData && result == MmioResult::kOk && !is_full) {
      sent.push_back(static_cast<std::uint8_t>(value));
    }
  }
  void Take(std::size_t count) {
    std::array<std::uint8_t, 8192> out{};
    const std::size_t taken = device.TakeTransmitted(std::span(out).first(count % out.size()));
    for (const std::uint8_t byte : std::span(out).first(taken)) {
      if (sent.empty() || sent.front() != byte) __builtin_trap();
      sent.pop_front();
    }
  }
  void Do(const UartStep& step) {
    const std::uint64_t offset = std::uint64_t{step.where} * 4;
    const std::array<std::uint8_t, 32> input{};
    switch (step.kind % UartStep::kKinds) {
      case UartStep::kWrite:
        Write(offset, step.value, 4);
        break;
      case UartStep::kRead:
        Read(offset + step.value % 0xf00, std::size_t{1} << (step.value >> 14));
        break;
      case UartStep::kTake:
        Take(step.value);
        break;
      case UartStep::kReceive:
        device.Receive(std::span(input).first(step.value % input.size()));
        break;
      default:
        for (unsigned count = 0; count < step.value % 512; ++count) Write(kData, count, 1);
        break;
    }
    if ((Read(kMaskedStatus) != 0) != line.is_high) __builtin_trap();
  }

  Line line;
  Host host;
  Pl011 device{line, host};
  std::deque<std::uint8_t> sent;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Uart uart;
  for (std::size_t at = 0; at + sizeof(UartStep) <= size; at += sizeof(UartStep)) {
    UartStep step{};
    std::memcpy(&step, data + at, sizeof(step));
    uart.Do(step);
  }
  return 0;
}
