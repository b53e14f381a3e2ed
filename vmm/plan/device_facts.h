// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vmm/config/vm_config.h"
#include "vmm/fdt/device_tree.h"
#include "vmm/memory/address_range.h"

namespace microvm {

// What the kernel says of one region and one interrupt of a device, as plain data.
struct RegionFacts {
  std::uint64_t size_bytes = 0;
  bool mappable = false;
};
struct InterruptFacts {
  bool automasked = false;  // level
  int line_error = 0;      // why the kernel cannot have its line for VFIO: EBUSY, EINVAL; 0: it has
  std::string users = {};  // who has the line then, as /proc/interrupts tells; "" if it does not
};

// One entry of the host node's `clocks`.
struct ClockFacts {
  std::string name;                      // from `clock-names`; "" if it has none
  std::string provider;                  // path of the clock's node
  std::optional<std::uint64_t> rate_hz;  // nothing: the host does not tell
  bool circular = false;                 // it is made from itself: no host can tell
};

// Those of nodes below the device's, by path.
using ClocksBelow = std::map<std::string, std::vector<ClockFacts>>;

// All that planning knows of a device of the host.
struct DeviceFacts {
  PlatformConfig config;
  std::vector<RegionFacts> regions;
  std::uint64_t page_bytes = 4096;  // the host's: what regions are mapped in
  std::vector<InterruptFacts> interrupts;
  std::vector<ClockFacts> clocks;
  ClocksBelow clocks_below;
  bool can_reset = false;                     // by VFIO_DEVICE_RESET
  std::shared_ptr<const DeviceTree> tree;     // the host's
  std::string node_path;                      // the device's node in it
  VfioBackend backend = VfioBackend::kGroup;  // the one it was opened through
  bool no_iommu = false;                      // nothing stands between the device and memory
  // Where it reaches RAM, in ascending order. With dma = "iommu": what its IOMMU can map; empty:
  // the host does not tell. With dma = "identity": the host's memory that is the RAM, all of it.
  std::vector<AddressRange> mappable;
};

// A device tree overlay, as read.
struct OverlayFile {
  std::string path;
  std::vector<std::byte> blob;
};

// What the start of a kernel file and the size of an initrd say, and overlays whole.
struct BootFacts {
  std::uint64_t kernel_file_bytes = 0;
  bool kernel_compressed = false;
  std::uint64_t text_offset = 0;          // from the start of a 2 MiB-aligned base
  std::uint64_t kernel_memory_bytes = 0;  // from text_offset, with its BSS
  std::uint64_t initrd_bytes = 0;         // 0: none
  std::vector<OverlayFile> overlays = {};
};

}  // namespace microvm
