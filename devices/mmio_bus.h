// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "devices/mmio_device.h"
#include "vmm/host/log_budget.h"
#include "vmm/memory/address_range.h"

namespace microvm {

// Routes trapped accesses to devices. Built before the vCPUs run and immutable then, so it needs
// no lock: Read and Write may run on every vCPU thread at once.
//
// Policy for accesses that no device takes: reads are all ones, writes have no effect, the first
// few are logged and all are counted. Nothing a guest does here can fail the VM.
class MmioBus {
 public:
  // `log` is for accesses that no device takes; it outlives the bus.
  explicit MmioBus(LogBudget& log) : log_(log) {}

  // Throws Error naming both devices if `range` overlaps another's. `device` outlives the bus.
  void Map(const AddressRange& range, MmioDevice& device);

  void Read(GuestAddress address, std::span<std::byte> out) noexcept;
  void Write(GuestAddress address, std::span<const std::byte> in) noexcept;

  // Accesses that no device took.
  [[nodiscard]] std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

 private:
  struct Mapping {
    AddressRange range;
    MmioDevice* device;
  };

  // The mapping that contains every byte of the access; null if none does.
  [[nodiscard]] const Mapping* Find(GuestAddress address, std::size_t length) const noexcept;
  void Refuse(const char* what, GuestAddress address, std::size_t length,
              const Mapping* mapping) noexcept;

  LogBudget& log_;
  std::vector<Mapping> mappings_;  // sorted by address
  std::atomic<std::uint64_t> refused_{0};
};

}  // namespace microvm
