// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arch/arm64/gic.h"
#include "devices/vfio/platform_device.h"
#include "vmm/host/host_device.h"
#include "vmm/host/log_budget.h"
#include "vmm/machine/quiet_line.h"

namespace microvm {

// Finds level interrupts that stay masked on the host although the guest has done with them, and
// unmasks them. VFIO masks a level when it comes, and KVM has it unmasked when the guest ends it;
// where that is never heard of, as with a guest that takes the level for an edge, the device is
// deaf from then on, and nothing else would tell. Costs an interrupt nothing: it is looked at from
// time to time, by the host's counts, and a line that goes quiet is probed once. Only a line that
// is found masked then stops the guest, for as long as it takes to read the state of its SPI.
//
// All calls on the main thread.
class InterruptWatch {
 public:
  // Reads an SPI of the guest that runs, whose vCPUs it stops meanwhile; may throw.
  using SpiReader = std::function<SpiState(Spi)>;

  // `devices` and `sysfs` outlive it. Throws a chain.
  InterruptWatch(HostKernel& kernel, const HostSysfs& sysfs,
                 const std::vector<std::unique_ptr<VfioPlatformDevice>>& devices);

  // Whether there is anything to look at.
  [[nodiscard]] bool empty() const { return lines_.empty(); }
  // One look at every line, while a guest runs. What goes wrong is logged, and ends the watch of
  // that line.
  void Look(const SpiReader& read_spi) noexcept;
  // How often an interrupt of a device, by its place, was unmasked.
  [[nodiscard]] std::uint64_t rearmed(std::size_t device) const;

 private:
  struct Line {
    std::size_t device;
    std::uint32_t interrupt;  // of the plan
    Spi spi;
    std::uint32_t host_intid;
    QuietLine state = {};
    std::uint64_t rearmed = 0;
    bool given_up = false;
  };

  void LookAt(Line& line, std::optional<std::uint64_t> count, const SpiReader& read_spi);
  void Complain(const std::string& what, const std::exception& error) noexcept;
  void Report(const Line& line, const SpiState& state) noexcept;

  const HostSysfs& sysfs_;
  const std::vector<std::unique_ptr<VfioPlatformDevice>>& devices_;
  std::vector<Line> lines_;
  Fd probe_;  // an eventfd, when there are lines
  LogBudget log_;
};

}  // namespace microvm
