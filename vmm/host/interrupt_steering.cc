// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/interrupt_steering.h"

#include <cstdio>

#include "vmm/host/error.h"
#include "vmm/host/file.h"
#include "vmm/host/interrupt_counts.h"

namespace microvm {

void InterruptSteering::Steer(const std::string& device, unsigned cpu) {
  for (const unsigned number : VfioInterruptNumbers(*sysfs_, device)) {
    const std::filesystem::path path =
        sysfs_->root() / "proc/irq" / std::to_string(number) / "smp_affinity_list";
    const std::string before = ReadAttribute(path);
    try {
      WriteAttribute(path.string(), std::to_string(cpu));
    } catch (const std::exception& error) {
      std::fprintf(stderr, "microvm: %s: interrupt %u of the host stays on CPU %s\n%s",
                   device.c_str(), number, before.c_str(), FormatChain(error).c_str());
      continue;
    }
    if (!before.empty()) before_.push_back({path, before});
  }
}

InterruptSteering::~InterruptSteering() {
  for (const Before& entry : before_) {
    try {
      WriteAttribute(entry.path.string(), entry.cpus);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "microvm: %s is not as it was\n%s", entry.path.c_str(),
                   FormatChain(error).c_str());
    }
  }
}

}  // namespace microvm
