// SPDX-License-Identifier: Apache-2.0
#include "devices/reset_stub.h"

namespace microvm {

MmioResult ResetStub::Read(std::uint64_t /*offset*/, std::span<std::byte> out) noexcept {
  StoreRegister(out, 0);
  return MmioResult::kOk;
}

MmioResult ResetStub::Write(std::uint64_t /*offset*/, std::span<const std::byte> /*in*/) noexcept {
  return MmioResult::kOk;
}

}  // namespace microvm
