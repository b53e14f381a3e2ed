// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/host/fd.h"
#include "vmm/memory/guest_memory.h"
#include "vmm/plan/device_facts.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// The kernel and initrd of a guest, open from start to end so that a reboot finds the same files.
// Formats: arm64 `Image` (Documentation/arch/arm64/booting.rst), also compressed with gzip.
class BootImages {
 public:
  // Opens the files and reads the kernel's header. Throws a chain that names the file.
  BootImages(HostKernel& kernel, const BootConfig& config);

  [[nodiscard]] const BootFacts& facts() const { return facts_; }

  // Reads the files straight into guest memory, where the plan has them. Throws a chain if a file
  // is cut short or corrupt.
  void Load(const VmPlan& plan, const GuestMemory& memory) const;

 private:
  void LoadCompressed(const VmPlan& plan, const GuestMemory& memory) const;

  BootConfig config_;
  Fd kernel_;
  Fd initrd_;
  BootFacts facts_;
};

}  // namespace microvm
