// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/structure_check.h"

#include <libfdt.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// The structure block; all 64-bit, so that nothing wraps around.
std::span<const std::byte> StructureOf(std::span<const std::byte> blob) {
  const std::uint32_t version = fdt_version(blob.data());
  if (version < 16) throw Error("not a device tree: its version is older than 16");
  const std::uint64_t total = fdt_totalsize(blob.data());
  const std::uint64_t start = fdt_off_dt_struct(blob.data());
  if (total > blob.size() || start > total) throw Error("not a device tree: it is cut short");
  const std::uint64_t size = version < 17 ? total - start : fdt_size_dt_struct(blob.data());
  if (size > total - start) throw Error("not a device tree: it is cut short");
  return blob.subspan(start, size);
}

// Where the token ends that begins at `at`; beyond the block if it is cut short.
std::uint64_t EndOfToken(std::span<const std::byte> structure, std::uint64_t at) {
  const auto cell = [&](std::uint64_t place) {
    return fdt32_ld(reinterpret_cast<const fdt32_t*>(&structure[place]));
  };
  const std::uint32_t token = cell(at);
  at += 4;
  if (token == FDT_BEGIN_NODE) {
    const auto name = structure.subspan(at);
    const auto end = std::find(name.begin(), name.end(), std::byte{0});
    at += static_cast<std::uint64_t>(end - name.begin()) + 1;
  } else if (token == FDT_PROP) {
    if (structure.size() - at < 8) return structure.size() + 1;
    at += 8 + std::uint64_t{cell(at)};
  } else if (token != FDT_END_NODE && token != FDT_NOP) {
    return structure.size() + 1;
  }
  return (at + 3) & ~std::uint64_t{3};
}

}  // namespace

void CheckStructure(std::span<const std::byte> blob) {
  if (blob.size() < sizeof(fdt_header) || fdt_magic(blob.data()) != FDT_MAGIC) return;
  const std::span<const std::byte> structure = StructureOf(blob);
  for (std::uint64_t at = 0; at + 4 <= structure.size();) {
    if (fdt32_ld(reinterpret_cast<const fdt32_t*>(&structure[at])) == FDT_END) return;
    const std::uint64_t next = EndOfToken(structure, at);
    if (next > structure.size()) {
      throw Error("not a device tree: byte " + std::to_string(at) + " of its structure is wrong");
    }
    at = next;
  }
  throw Error("not a device tree: its structure has no end");
}

}  // namespace microvm
