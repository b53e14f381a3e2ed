// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace microvm {

// What became of a trapped access.
enum class MmioResult {
  kOk,
  kBadAccess,    // no such register, or not with this width or alignment
  kDeviceError,  // the host's device did not take it
};

// A device the guest reaches by trapped loads and stores. Both calls run on the vCPU thread that
// trapped, possibly on several at once: the device does its own locking. They may not throw and
// may not block; a refused read leaves `out` as it is. `offset` is from the start of the range
// the device was mapped at, and the whole access lies inside that range.
class MmioDevice {
 public:
  MmioDevice() = default;
  MmioDevice(const MmioDevice&) = delete;
  MmioDevice& operator=(const MmioDevice&) = delete;
  MmioDevice(MmioDevice&&) = delete;
  MmioDevice& operator=(MmioDevice&&) = delete;
  virtual ~MmioDevice() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  virtual MmioResult Read(std::uint64_t offset, std::span<std::byte> out) noexcept = 0;
  virtual MmioResult Write(std::uint64_t offset, std::span<const std::byte> in) noexcept = 0;
};

}  // namespace microvm
