// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace microvm {

// What became of a trapped access.
enum class MmioResult {
  kOk,
  kBadAccess,    // no such register, or not with this width or alignment
  kDeviceError,  // the host's device did not take it
};

// The low bytes of `value` as the guest reads them (little-endian, like every arm64 host this runs
// on), and back. Widths are KVM's: 1, 2, 4 or 8. Copies of a fixed size keep libc's memcpy off the
// exit path: its SVE form costs a trap to the host kernel after every KVM_RUN.
inline void StoreRegister(std::span<std::byte> out, std::uint64_t value) {
  switch (out.size()) {
    case 1:
      std::memcpy(out.data(), &value, 1);
      break;
    case 2:
      std::memcpy(out.data(), &value, 2);
      break;
    case 4:
      std::memcpy(out.data(), &value, 4);
      break;
    default:
      std::memcpy(out.data(), &value, 8);
      break;
  }
}
inline std::uint64_t LoadRegister(std::span<const std::byte> in) {
  std::uint64_t value = 0;
  switch (in.size()) {
    case 1:
      std::memcpy(&value, in.data(), 1);
      break;
    case 2:
      std::memcpy(&value, in.data(), 2);
      break;
    case 4:
      std::memcpy(&value, in.data(), 4);
      break;
    default:
      std::memcpy(&value, in.data(), 8);
      break;
  }
  return value;
}

// A device the guest reaches by trapped loads and stores. Both calls run on the vCPU thread that
// trapped, possibly on several at once: the device does its own locking. They may not throw and
// may not block; a refused read leaves `out` as it is. `offset` is from the start of the range
// the device was mapped at; the access is 1, 2, 4 or 8 bytes and lies inside that range whole.
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
