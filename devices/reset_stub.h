// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "devices/mmio_device.h"

namespace microvm {

// The registers of a reset controller without resets: reads are zero, writes change nothing. For
// the drivers of guests that insist on a reset which the host keeps (vmm/plan/vm_plan.h,
// PlannedResets). Without state: any thread may call.
class ResetStub final : public MmioDevice {
 public:
  explicit ResetStub(std::string name) : name_(std::move(name)) {}

  [[nodiscard]] std::string_view name() const override { return name_; }
  MmioResult Read(std::uint64_t offset, std::span<std::byte> out) noexcept override;
  MmioResult Write(std::uint64_t offset, std::span<const std::byte> in) noexcept override;

 private:
  std::string name_;
};

}  // namespace microvm
