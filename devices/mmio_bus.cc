// SPDX-License-Identifier: Apache-2.0
#include "devices/mmio_bus.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <string>

namespace microvm {

void MmioBus::Map(const AddressRange& range, MmioDevice& device) {
  for (const Mapping& mapping : mappings_) {
    if (!mapping.range.Overlaps(range)) continue;
    throw Error(std::string(device.name()) + " at " + ToString(range) + " overlaps " +
                std::string(mapping.device->name()) + " at " + ToString(mapping.range));
  }
  const auto after = std::find_if(mappings_.begin(), mappings_.end(), [&](const Mapping& mapping) {
    return mapping.range.start() > range.start();
  });
  mappings_.insert(after, {range, &device});
}

const MmioBus::Mapping* MmioBus::Find(GuestAddress address, std::size_t length) const noexcept {
  const auto after =
      std::upper_bound(mappings_.begin(), mappings_.end(), address,
                       [](GuestAddress at, const Mapping& m) { return at < m.range.start(); });
  if (after == mappings_.begin()) return nullptr;
  const Mapping& mapping = *std::prev(after);
  return mapping.range.Contains(address, length) ? &mapping : nullptr;
}

void MmioBus::Read(GuestAddress address, std::span<std::byte> out) noexcept {
  const Mapping* mapping = Find(address, out.size());
  if (mapping != nullptr) {
    const std::uint64_t offset = address.value - mapping->range.start().value;
    if (mapping->device->Read(offset, out) == MmioResult::kOk) [[likely]]
      return;
  }
  std::fill(out.begin(), out.end(), std::byte{0xff});
  Refuse("read", address, out.size(), mapping);
}

void MmioBus::Write(GuestAddress address, std::span<const std::byte> in) noexcept {
  const Mapping* mapping = Find(address, in.size());
  if (mapping != nullptr) {
    const std::uint64_t offset = address.value - mapping->range.start().value;
    if (mapping->device->Write(offset, in) == MmioResult::kOk) [[likely]]
      return;
  }
  Refuse("write", address, in.size(), mapping);
}

void MmioBus::Refuse(const char* what, GuestAddress address, std::size_t length,
                     const Mapping* mapping) noexcept {
  refused_.fetch_add(1, std::memory_order_relaxed);
  const unsigned lines = log_.Take();
  if (lines == 0) return;
  const std::string_view name = mapping == nullptr ? "no device" : mapping->device->name();
  std::fprintf(stderr, "microvm: guest %s of %zu bytes at 0x%" PRIx64 " ignored (%.*s)%s\n", what,
               length, address.value, static_cast<int>(name.size()), name.data(),
               lines == 1 ? "; further ones are only counted" : "");
}

}  // namespace microvm
