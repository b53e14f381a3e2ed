// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/planned_values.h"

namespace microvm {
namespace {

void AppendCell(std::vector<std::byte>& bytes, std::uint32_t cell) {
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<std::byte>(cell >> shift));
}

}  // namespace

std::vector<std::byte> CellBytes(const std::vector<std::uint32_t>& cells) {
  std::vector<std::byte> bytes;
  for (const std::uint32_t cell : cells) AppendCell(bytes, cell);
  return bytes;
}

std::vector<std::byte> StringBytes(const std::vector<std::string>& strings) {
  std::vector<std::byte> bytes;
  for (const std::string& text : strings) {
    for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
    bytes.push_back(std::byte{0});
  }
  return bytes;
}

PlannedProperty RegProperty(const PlannedDevice& device) {
  std::vector<std::uint32_t> cells;
  for (const PlannedRegion& region : device.regions) {
    for (const std::uint64_t value : {region.guest.start().value, region.guest.size_bytes()}) {
      cells.push_back(static_cast<std::uint32_t>(value >> 32));
      cells.push_back(static_cast<std::uint32_t>(value));
    }
  }
  return {"reg", CellBytes(cells), "plan"};
}

PlannedProperty InterruptsProperty(const PlannedDevice& device) {
  // bindings/interrupt-controller/arm,gic-v3.yaml: type (0 = SPI), number, flags.
  std::vector<std::uint32_t> cells;
  for (const PlannedInterrupt& interrupt : device.interrupts) {
    const std::uint32_t flags = interrupt.trigger == Trigger::kLevel ? 4 : 1;
    cells.insert(cells.end(), {0, interrupt.spi.number, flags});
  }
  return {"interrupts", CellBytes(cells), "plan"};
}

}  // namespace microvm
