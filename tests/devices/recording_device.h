// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "devices/irq_line.h"
#include "devices/mmio_device.h"
#include "devices/pl011.h"

namespace microvm::fakes {

// A device that notes what it is asked and answers `result`.
class RecordingDevice final : public MmioDevice {
 public:
  explicit RecordingDevice(std::string name) : name_(std::move(name)) {}
  [[nodiscard]] std::string_view name() const override { return name_; }
  MmioResult Read(std::uint64_t offset, std::span<std::byte> out) noexcept override {
    offset_ = offset;
    length_ = out.size();
    ++reads_;
    if (result == MmioResult::kOk) StoreRegister(out, value);
    return result;
  }
  MmioResult Write(std::uint64_t offset, std::span<const std::byte> in) noexcept override {
    offset_ = offset;
    length_ = in.size();
    ++writes_;
    value = LoadRegister(in);
    return result;
  }

  MmioResult result = MmioResult::kOk;
  std::uint64_t value = 0;
  [[nodiscard]] std::uint64_t offset() const { return offset_; }
  [[nodiscard]] std::size_t length() const { return length_; }
  [[nodiscard]] unsigned reads() const { return reads_; }
  [[nodiscard]] unsigned writes() const { return writes_; }

 private:
  std::string name_;
  std::uint64_t offset_ = 0;
  std::size_t length_ = 0;
  unsigned reads_ = 0;
  unsigned writes_ = 0;
};

// A wire that notes each change.
class RecordingLine final : public IrqLine {
 public:
  void Set(bool high) noexcept override {
    high_ = high;
    ++changes_;
  }
  [[nodiscard]] bool high() const { return high_; }
  [[nodiscard]] unsigned changes() const { return changes_; }

 private:
  bool high_ = false;
  unsigned changes_ = 0;
};

class RecordingHost final : public ConsoleHost {
 public:
  void TransmitReady() noexcept override { ++transmit; }
  void ReceiveReady() noexcept override { ++receive; }
  unsigned transmit = 0;
  unsigned receive = 0;
};

}  // namespace microvm::fakes
