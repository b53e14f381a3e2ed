// SPDX-License-Identifier: Apache-2.0
// Stage 1 translation: one set of tables, 48-bit addresses, 4 KiB pages (Arm ARM, D8).
#pragma once

#include <cstdint>

namespace guest {

enum class Memory {
  kNormal,            // write-back cacheable, inner shareable
  kDevice,            // Device-nGnRE, never executed
  kDeviceExecutable,  // Device-nGnRE an instruction fetch may try
};

// What a CPU loads to translate through this address space.
struct MmuRegisters {
  std::uint64_t ttbr0;
  std::uint64_t tcr;
  std::uint64_t mair;
  std::uint64_t sctlr;
};

// The guest's one address space; a second object would share its tables. Only the boot CPU maps.
class AddressSpace {
 public:
  AddressSpace();

  // Adds a mapping, rounded outward to whole pages. What is mapped already stays as it is. May be
  // called with the MMU on: entries go from invalid to valid only. Does not return when the
  // tables' memory is used up.
  void Map(std::uint64_t address, std::uint64_t physical, std::uint64_t size, Memory type);
  void MapIdentity(std::uint64_t address, std::uint64_t size, Memory type) {
    Map(address, address, size, type);
  }

  // Turns the MMU and caches on, on this CPU.
  void Enable() const;

  [[nodiscard]] const MmuRegisters& registers() const { return registers_; }

 private:
  MmuRegisters registers_;
};

// A second address of `physical`, above every identity mapping, for another memory type. There
// are two.
constexpr std::uint64_t AliasOf(std::uint64_t physical) { return physical | 1ULL << 47; }
constexpr std::uint64_t SecondAliasOf(std::uint64_t physical) { return physical | 3ULL << 46; }

}  // namespace guest
