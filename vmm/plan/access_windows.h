// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vmm/config/window_config.h"
#include "vmm/plan/device_facts.h"

namespace microvm {

struct PlannedNode;
struct PlannedRegion;

// What the guest may do to a stretch of a region's bytes.
struct AccessWindow {
  std::uint64_t offset;
  std::uint64_t size_bytes;
  WindowAccess access;
};

// A stretch of a region's bytes.
struct OffsetRange {
  std::uint64_t offset;
  std::uint64_t size_bytes;
};

// A part of a region: mapped into the guest, or trapped.
struct RegionPart {
  std::uint64_t offset;
  std::uint64_t size_bytes;
  bool mapped;
};

// The windows of a region that the configuration speaks of, in ascending order and without a gap
// from its start to its end; none if everything is allowed. Throws Error, at the place of the
// window, if one lies outside.
std::vector<AccessWindow> WindowsOfRegion(const DeviceFacts& facts, std::uint32_t region);

// Throws Error if a window is in a region that the device does not have, or that is not among
// `kept`, those that the guest is given.
void CheckWindowRegions(const DeviceFacts& facts, std::span<const std::uint32_t> kept);

// Sets what `region`, whose range, index and mapped are decided, gets by its windows: pages in
// which not everything is allowed are trapped, the others stay mapped.
void ApplyWindows(const DeviceFacts& facts, PlannedRegion& region);

// How many bytes each access to the node's registers has, by its `reg-io-width`; 0: any number.
// An access of another width can be an external abort, which in a trapped region the host's kernel
// would take.
std::uint32_t AccessBytes(const PlannedNode& node);

// The parts of a planned region in ascending order, without a gap.
std::vector<RegionPart> PartsOf(const PlannedRegion& region);

// Whether the guest may read or write these bytes of a region: all of them, or none. `windows` are
// those of WindowsOfRegion. Never throws, as it is asked while the guest runs.
bool IsAllowed(std::span<const AccessWindow> windows, std::uint64_t offset, std::size_t size_bytes,
               bool write) noexcept;

}  // namespace microvm
