// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "devices/gpio/host_gpio.h"
#include "devices/gpio/pl061.h"
#include "devices/mmio_bus.h"
#include "vmm/kvm/kvm.h"
#include "vmm/machine/descriptor_watch.h"
#include "vmm/machine/event_loop.h"
#include "vmm/machine/spi_line.h"
#include "vmm/machine/statistics.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {

// A PL061's wire into the vGIC of one boot. No vCPU runs any more when it goes.
class Pl061Connection {
 public:
  Pl061Connection(const Vm& vm, Spi spi, Pl061& device) : line_(vm, spi), device_(device) {
    device_.Connect(&line_);
  }
  Pl061Connection(const Pl061Connection&) = delete;
  Pl061Connection& operator=(const Pl061Connection&) = delete;
  Pl061Connection(Pl061Connection&&) = delete;
  Pl061Connection& operator=(Pl061Connection&&) = delete;
  ~Pl061Connection() { device_.Connect(nullptr); }

 private:
  SpiLine line_;
  Pl061& device_;
};

// A machine's emulated PL061s. They outlive the boots of its guest, each of which maps and connects
// them anew and ends with a reset; their lines stay the machine's. The loop's thread.
class Pl061Devices {
 public:
  // Takes their lines out of `lines`, those of each [[gpio]]. `plan` outlives it.
  Pl061Devices(EventLoop& loop, const VmPlan& plan, std::vector<OpenedGpioLines>& lines);

  void Map(MmioBus& bus);
  // The VM outlives what this adds.
  void Connect(const Vm& vm, std::deque<Pl061Connection>& connections);
  // When there is no guest: every line is as it was found.
  void Reset() noexcept;

  [[nodiscard]] std::vector<Pl061Statistics> statistics() const;

 private:
  struct Slot {
    Slot(EventLoop& loop, const PlannedPl061& planned, OpenedGpioLines& lines);

    const PlannedPl061& plan;
    Pl061 device;
    std::deque<DescriptorWatch> watches;
  };
  std::deque<Slot> slots_;
};

}  // namespace microvm
