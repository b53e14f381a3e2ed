// SPDX-License-Identifier: Apache-2.0
// GICv3 with system registers, affinity routing, one security state (IHI 0069).
#pragma once

#include "gic.h"
#include "gic_distributor.h"

namespace guest {

class GicV3 final : public Gic {
 public:
  // `facts` outlives the object.
  explicit GicV3(const GicFacts& facts);

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
  void WaitForWrites() const;
  [[nodiscard]] std::uint64_t Redistributor() const;
  [[nodiscard]] GicDistributor BankOf(Interrupt interrupt) const;

  GicDistributor distributor_;
};

}  // namespace guest
