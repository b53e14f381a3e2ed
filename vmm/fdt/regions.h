// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vmm/fdt/device_tree.h"

namespace microvm {

// One entry of a node's `reg`.
struct NodeRegion {
  std::uint64_t bus_address = 0;             // as `reg` has it, its low 64 bits
  std::optional<std::uint64_t> cpu_address;  // nothing: the CPU does not reach it
  std::uint64_t size_bytes = 0;              // 0 on buses without sizes (I2C, SPI, MDIO)

  // Whether VFIO lets it be mapped: whole pages of 4 KiB (vfio_platform_common.c of Linux).
  [[nodiscard]] bool IsPageAligned() const;
};

// How the addresses on a bus are written, inherited from the buses above as Linux does
// (drivers/of/base.c: of_bus_n_addr_cells). Throws Error naming the node if a value is absurd.
struct BusCells {
  std::uint32_t address = 1;
  std::uint32_t size = 1;
};
BusCells ReadBusCells(const DtNode& bus);

// `reg`, translated through the `ranges` of every bus above (Devicetree Specification 2.3.6, 2.3.8;
// drivers/of/address.c of Linux). Throws Error naming the node if it is malformed: a cut entry,
// absurd #cells, a region beyond 2^64.
std::vector<NodeRegion> ReadRegions(const DtNode& node);

// Bus addresses of a device that reach memory, and what they are to the CPU.
struct DmaWindow {
  std::uint64_t bus_address;
  std::uint64_t cpu_address;
  std::uint64_t size_bytes;
};
// How the device of `node` reaches memory (drivers/of/address.c of Linux 6.12: of_dma_get_range):
// the windows of the nearest bus above whose `dma-ranges` are not empty, each translated through
// the `dma-ranges` of all buses above that; one that these lead nowhere is none. Above a node are
// its parent, or the target of its interconnect "dma-mem". As there, only the start of a window is
// translated, and a bus without `dma-ranges` ends the search unless it is the device's own. Empty:
// all of memory is reached at its own address. Throws Error as above, if there is a way round in a
// circle, and if no window is left, with which Linux makes no device of it.
std::vector<DmaWindow> ReadDmaWindows(const DeviceTree& tree, const DtNode& node);

}  // namespace microvm
