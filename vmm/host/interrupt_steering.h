// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "vmm/host/host_device.h"

namespace microvm {

// Sends interrupts of devices that VFIO has to one CPU of the host each, for as long as it lives
// (Documentation/core-api/irq/irq-affinity.rst). A process that is killed leaves them there, which
// the next handler of the line inherits.
class InterruptSteering {
 public:
  explicit InterruptSteering(const HostSysfs& sysfs) : sysfs_(&sysfs) {}
  InterruptSteering(InterruptSteering&& other) noexcept = default;
  InterruptSteering& operator=(InterruptSteering&& other) = delete;
  InterruptSteering(const InterruptSteering&) = delete;
  InterruptSteering& operator=(const InterruptSteering&) = delete;
  ~InterruptSteering();

  // Of all interrupts that are armed at present. What cannot be steered, as the line of a GPIO
  // controller, is said on standard error, and stays as it is.
  void Steer(const std::string& device, unsigned cpu);

 private:
  struct Before {
    std::filesystem::path path;
    std::string cpus;
  };

  const HostSysfs* sysfs_;
  std::vector<Before> before_;
};

}  // namespace microvm
