// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/boot_placement.h"

#include <algorithm>
#include <string>

#include "vmm/host/error.h"
#include "vmm/memory/address_allocator.h"

namespace microvm {
namespace {

constexpr std::uint64_t kBlockBytes = std::uint64_t{2} << 20;  // what a kernel's base must be
constexpr std::uint64_t kLargestPage = 65536;                  // of a guest

[[noreturn]] void ThrowNoRoom(const BootFacts& facts, const std::vector<AddressRange>& ram,
                              const PlatformLayout& layout) {
  const std::uint64_t needed = facts.text_offset + facts.kernel_memory_bytes +
                               layout.fdt_bytes_maximum + facts.initrd_bytes + 2 * kBlockBytes;
  const std::string files =
      "the boot files do not fit in the guest's memory: " + std::to_string(needed >> 20) +
      " MiB are needed (kernel with its BSS " + std::to_string(facts.kernel_memory_bytes >> 20) +
      " MiB, initrd " + std::to_string(facts.initrd_bytes >> 20) + " MiB), memory.size is " +
      std::to_string(TotalBytes(ram) >> 20) + " MiB";
  if (ram.size() == 1) throw Error(files, "make memory.size larger");
  const auto largest = std::max_element(ram.begin(), ram.end(), [](const auto& a, const auto& b) {
    return a.size_bytes() < b.size_bytes();
  });
  throw Error(files + " in " + std::to_string(ram.size()) + " pieces, the largest of " +
                  std::to_string(largest->size_bytes() >> 20) + " MiB",
              "make memory.size larger, or have the host set huge pages aside while its memory is "
              "whole: hugepages=N on its kernel's command line");
}

}  // namespace

PlannedBoot PlanBoot(const BootFacts& facts, const std::vector<AddressRange>& ram,
                     const PlatformLayout& layout) {
  const std::uint64_t ram_bytes = TotalBytes(ram);
  // Of what wraps, or of absurd headers, nothing is computed.
  if (facts.kernel_memory_bytes > ram_bytes || facts.initrd_bytes > ram_bytes ||
      facts.text_offset > ram_bytes) {
    ThrowNoRoom(facts, ram, layout);
  }
  AddressAllocator addresses(ram);
  // A tree at address 0 is none to Linux (arch/arm64/mm/fixmap.c: fixmap_remap_fdt).
  if (ram.front().start().value == 0) {
    addresses.Reserve("a null pointer", AddressRange({0}, kBlockBytes));
  }
  try {
    const auto kernel_bytes =
        AlignUp(facts.text_offset + facts.kernel_memory_bytes, kBlockBytes).value();
    const AddressRange kernel = addresses.Allocate("the kernel", kernel_bytes, kBlockBytes);
    PlannedBoot boot{
        .kernel = {kernel.start().value + facts.text_offset},
        .kernel_memory_bytes = facts.kernel_memory_bytes,
        .kernel_compressed = facts.kernel_compressed,
        .initrd = std::nullopt,
        .fdt = addresses.Allocate("the device tree", layout.fdt_bytes_maximum, kBlockBytes)};
    if (facts.initrd_bytes > 0) {
      boot.initrd = addresses.Allocate("the initrd", facts.initrd_bytes, kLargestPage);
    }
    return boot;
  } catch (const Error&) {
    ThrowNoRoom(facts, ram, layout);
  }
}

}  // namespace microvm
