// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "devices/pl011.h"
#include "tests/devices/recording_device.h"

namespace microvm::fakes {

// The registers of Arm DDI 0183, table 3-1, and the bits that tests look at.
namespace pl011 {

inline constexpr std::uint64_t kDr = 0x00;
inline constexpr std::uint64_t kRsr = 0x04;
inline constexpr std::uint64_t kFr = 0x18;
inline constexpr std::uint64_t kIlpr = 0x20;
inline constexpr std::uint64_t kIbrd = 0x24;
inline constexpr std::uint64_t kFbrd = 0x28;
inline constexpr std::uint64_t kLcrH = 0x2c;
inline constexpr std::uint64_t kCr = 0x30;
inline constexpr std::uint64_t kIfls = 0x34;
inline constexpr std::uint64_t kImsc = 0x38;
inline constexpr std::uint64_t kRis = 0x3c;
inline constexpr std::uint64_t kMis = 0x40;
inline constexpr std::uint64_t kIcr = 0x44;
inline constexpr std::uint64_t kDmacr = 0x48;

inline constexpr std::uint32_t kRxEmpty = 1U << 4;
inline constexpr std::uint32_t kTxFull = 1U << 5;
inline constexpr std::uint32_t kRxFull = 1U << 6;
inline constexpr std::uint32_t kTxEmpty = 1U << 7;
inline constexpr std::uint32_t kFifoEnable = 1U << 4;
inline constexpr std::uint32_t kReceive = 1U << 4;
inline constexpr std::uint32_t kTransmit = 1U << 5;
inline constexpr std::uint32_t kTimeout = 1U << 6;

}  // namespace pl011

// A PL011 with a guest at its registers and a host at its other end.
class Pl011Guest {
 public:
  std::uint32_t Read(std::uint64_t offset) {
    std::array<std::byte, 4> data{};
    uart.Read(offset, data);
    return static_cast<std::uint32_t>(LoadRegister(data));
  }
  void Write(std::uint64_t offset, std::uint32_t value) { TryWrite(offset, 4, value); }
  MmioResult TryWrite(std::uint64_t offset, std::size_t width, std::uint64_t value) {
    std::array<std::byte, 8> data{};
    StoreRegister(data, value);
    return uart.Write(offset, std::span(data).first(width));
  }
  std::size_t Receive(const std::string& text) {
    return uart.Receive({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  }
  std::string Transmitted(std::size_t limit = 8192) {
    std::vector<std::uint8_t> out(limit);
    out.resize(uart.TakeTransmitted(out));
    return {out.begin(), out.end()};
  }

  RecordingLine line;
  RecordingHost host;
  Pl011 uart{line, host};
};

}  // namespace microvm::fakes
