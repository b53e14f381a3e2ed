// SPDX-License-Identifier: Apache-2.0
// GICv2: distributor and memory-mapped CPU interface (IHI 0048).
#pragma once

#include "gic.h"
#include "gic_distributor.h"

namespace guest {

class GicV2 final : public Gic {
 public:
  // `facts` outlives the object.
  explicit GicV2(const GicFacts& facts);

  void StartDistributor() override;
  void StartCpu() override;
  void Enable(Interrupt interrupt) override;
  void Disable(Interrupt interrupt) override;
  [[nodiscard]] bool IsEnabled(std::uint32_t intid) const override;
  [[nodiscard]] bool IsPending(std::uint32_t intid) const override;
  [[nodiscard]] bool IsActive(std::uint32_t intid) const override;
  void SendSoftwareInterrupt(std::uint32_t intid, std::uint64_t affinity, unsigned index) override;
  void Service(const ExceptionFrame& frame) override;

 private:
  GicDistributor distributor_;
  std::uint64_t cpu_interface_;
};

}  // namespace guest
