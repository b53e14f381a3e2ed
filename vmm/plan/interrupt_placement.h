// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "vmm/plan/vm_plan.h"

namespace microvm {

// The guest's SPIs, the console's being 0.
class SpiAllocator {
 public:
  // `maximum`: how many a guest's GIC has.
  explicit SpiAllocator(std::uint32_t maximum) : maximum_(maximum) {}

  // Throws Error if the SPI is not there or is somebody else's.
  void Reserve(const std::string& owner, std::uint32_t spi);
  // The next free one; more than there are is seen from count().
  Spi Next(const std::string& owner);
  [[nodiscard]] std::uint32_t count() const { return owners_.rbegin()->first + 1; }

 private:
  std::uint32_t maximum_;
  std::map<std::uint32_t, std::string> owners_ = {{0, "the console"}};
  std::uint32_t next_ = 1;
};

// The interrupts of a device that cross.
struct KeptInterrupts {
  // Of each the first of the device that is on its line: that is the one the kernel has for VFIO,
  // whether or not its own entry crosses.
  std::vector<std::uint32_t> indexes;
  std::size_t line_count = 0;
};
KeptInterrupts FindKeptInterrupts(const DeviceFacts& facts);

// One SPI for each line, those of the configuration first, which are reserved already; an interrupt
// whose line was listed before has that one's. Throws Error, with the remedy, if the host uses one.
std::vector<PlannedInterrupt> PlanInterrupts(const DeviceFacts& facts, const KeptInterrupts& kept,
                                             SpiAllocator& spis);

}  // namespace microvm
