// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vmm/inspect/host_index.h"

namespace microvm {

// The IOMMU before a device, as the tree names it.
struct IommuFacts {
  std::string path;
  std::vector<std::uint32_t> specifier;  // the stream
  std::string driver;                    // of Linux 6.12, "" if none matches
  bool accepted = false;                 // by VFIO, which needs IOMMU_CAP_CACHE_COHERENCY
  std::string why;
};

// How a device reaches memory.
struct DmaFacts {
  std::vector<IommuFacts> iommus;  // of enabled IOMMUs only: the host ignores others
  std::vector<std::string> signs;  // that it is a bus master
  std::vector<DmaWindow> windows;  // ReadDmaWindows; empty: all memory at its own address
  bool coherent = false;           // drivers/of/address.c of Linux: of_dma_is_coherent
  bool isolated_msi = false;       // its MSIs go to an ITS; else VFIO wants allow_unsafe_interrupts

  [[nodiscard]] bool behind_iommu() const { return !iommus.empty(); }
  // Whether memory has other addresses for it than for the CPU.
  [[nodiscard]] bool moves_addresses() const;
};

// Throws Error naming the node if `dma-ranges` is malformed.
DmaFacts ReadDma(const HostIndex& index, const NodeFacts& device);

// The kernel's reset function for a device (drivers/vfio/platform/reset), by the first of its
// `compatible`s, which is all that VFIO looks at; "" if there is none.
std::string ResetDriver(const DtNode& node);

}  // namespace microvm
