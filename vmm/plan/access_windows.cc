// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/access_windows.h"

#include <algorithm>

#include "vmm/host/error.h"
#include "vmm/plan/vm_plan.h"

namespace microvm {
namespace {

[[noreturn]] void Refuse(const WindowConfig& window, const std::string& why) {
  throw Error((window.place.empty() ? "platform.window" : window.place) + ": " + why);
}

// The pages in which not everything is allowed, as runs.
std::vector<OffsetRange> RestrictedPages(std::span<const AccessWindow> windows,
                                         std::uint64_t page_bytes) {
  std::vector<OffsetRange> runs;
  for (const AccessWindow& window : windows) {
    if (window.access == WindowAccess::kAllow) continue;
    const std::uint64_t start = window.offset / page_bytes * page_bytes;
    const std::uint64_t last = (window.offset + window.size_bytes - 1) / page_bytes;
    const std::uint64_t end = (last + 1) * page_bytes;
    if (!runs.empty() && start <= runs.back().offset + runs.back().size_bytes) {
      runs.back().size_bytes = std::max(runs.back().size_bytes, end - runs.back().offset);
    } else {
      runs.push_back({start, end - start});
    }
  }
  return runs;
}

}  // namespace

std::vector<AccessWindow> WindowsOfRegion(const DeviceFacts& facts, std::uint32_t region) {
  const std::uint64_t region_bytes = facts.regions.at(region).size_bytes;
  std::vector<AccessWindow> given;
  WindowAccess rest = WindowAccess::kAllow;
  for (const WindowConfig& window : facts.config.windows) {
    if (window.region != region) continue;
    if (window.size_bytes == 0) {
      rest = window.access;
      continue;
    }
    if (window.size_bytes > region_bytes || window.offset > region_bytes - window.size_bytes) {
      Refuse(window, Hex(window.size_bytes) + " bytes at " + Hex(window.offset) +
                         " are not inside region " + std::to_string(region) + " of '" +
                         facts.config.host + "', which has " + Hex(region_bytes));
    }
    given.push_back({window.offset, window.size_bytes, window.access});
  }
  std::sort(given.begin(), given.end(),
            [](const auto& one, const auto& other) { return one.offset < other.offset; });
  std::vector<AccessWindow> all;
  std::uint64_t at = 0;
  for (const AccessWindow& window : given) {
    if (window.offset > at) all.push_back({at, window.offset - at, rest});
    all.push_back(window);
    at = window.offset + window.size_bytes;
  }
  if (at < region_bytes) all.push_back({at, region_bytes - at, rest});
  const bool unrestricted = std::all_of(all.begin(), all.end(), [](const auto& window) {
    return window.access == WindowAccess::kAllow;
  });
  return unrestricted ? std::vector<AccessWindow>() : all;
}

void CheckWindowRegions(const DeviceFacts& facts, std::span<const std::uint32_t> kept) {
  for (const WindowConfig& window : facts.config.windows) {
    const std::string name = "region " + std::to_string(window.region);
    if (window.region >= facts.regions.size()) {
      Refuse(window, "there is no " + name + ", '" + facts.config.host + "' has " +
                         std::to_string(facts.regions.size()));
    }
    if (std::find(kept.begin(), kept.end(), window.region) == kept.end()) {
      Refuse(window, name + " of '" + facts.config.host + "' is dropped");
    }
  }
}

void ApplyWindows(const DeviceFacts& facts, PlannedRegion& region) {
  region.windows = WindowsOfRegion(facts, region.index);
  if (!region.mapped) return;
  // A region that can be mapped is whole pages.
  region.trapped_pages = RestrictedPages(region.windows, facts.page_bytes);
  const auto& pages = region.trapped_pages;
  if (pages.size() == 1 && pages.front().size_bytes >= region.guest.size_bytes()) {
    region.mapped = false;
    region.trapped_pages.clear();
  }
}

std::uint32_t AccessBytes(const PlannedNode& node) {
  const auto property =
      std::find_if(node.properties.begin(), node.properties.end(),
                   [](const PlannedProperty& each) { return each.name == "reg-io-width"; });
  if (property == node.properties.end()) return 0;
  const auto cells = DtProperty{property->name, property->value}.Cells();
  return cells && cells->size() == 1 ? cells->front() : 0;
}

std::vector<RegionPart> PartsOf(const PlannedRegion& region) {
  const std::uint64_t size_bytes = region.guest.size_bytes();
  if (!region.mapped) return {{0, size_bytes, false}};
  std::vector<RegionPart> parts;
  std::uint64_t at = 0;
  for (const OffsetRange& pages : region.trapped_pages) {
    if (pages.offset > at) parts.push_back({at, pages.offset - at, true});
    parts.push_back({pages.offset, pages.size_bytes, false});
    at = pages.offset + pages.size_bytes;
  }
  if (at < size_bytes) parts.push_back({at, size_bytes - at, true});
  return parts;
}

bool IsAllowed(std::span<const AccessWindow> windows, std::uint64_t offset, std::size_t size_bytes,
               bool write) noexcept {
  // The last window that starts at or before the access, and those it reaches into.
  auto window = std::upper_bound(
      windows.begin(), windows.end(), offset,
      [](std::uint64_t at, const AccessWindow& candidate) { return at < candidate.offset; });
  if (window != windows.begin()) --window;
  for (; window != windows.end() && window->offset < offset + size_bytes; ++window) {
    if (window->access == WindowAccess::kDeny) return false;
    if (window->access == WindowAccess::kReadOnly && write) return false;
  }
  return true;
}

}  // namespace microvm
