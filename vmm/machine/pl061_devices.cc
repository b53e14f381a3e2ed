// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/pl061_devices.h"

namespace microvm {

namespace {

std::vector<GpioPin> TakePins(OpenedGpioLines& lines) {
  std::vector<GpioPin> pins;
  for (OpenedGpioLine& line : lines) pins.push_back(std::move(line.pin));
  return pins;
}

}  // namespace

Pl061Devices::Slot::Slot(EventLoop& loop, const PlannedPl061& planned, OpenedGpioLines& lines)
    : plan(planned), device(planned.name, TakePins(lines)) {
  for (std::size_t line = 0; line < lines.size(); ++line) {
    watches.emplace_back(loop, *lines[line].events,
                         [this, line] { return device.TakeEvents(line); });
  }
}

Pl061Devices::Pl061Devices(EventLoop& loop, const VmPlan& plan,
                           std::vector<OpenedGpioLines>& lines) {
  for (const PlannedPl061& planned : plan.pl061s) {
    slots_.emplace_back(loop, planned, lines[planned.index]);
  }
}

void Pl061Devices::Map(MmioBus& bus) {
  for (Slot& slot : slots_) bus.Map(slot.plan.registers, slot.device);
}

void Pl061Devices::Connect(const Vm& vm, std::deque<Pl061Connection>& connections) {
  for (Slot& slot : slots_) connections.emplace_back(vm, slot.plan.spi, slot.device);
}

void Pl061Devices::Reset() noexcept {
  for (Slot& slot : slots_) slot.device.Reset();
}

std::vector<Pl061Statistics> Pl061Devices::statistics() const {
  std::vector<Pl061Statistics> all;
  for (const Slot& slot : slots_) {
    const Pl061Counts counts = slot.device.counts();
    all.push_back({slot.plan.name, counts.edges, counts.interrupts, counts.errors});
  }
  return all;
}

}  // namespace microvm
