// SPDX-License-Identifier: Apache-2.0
#include "mmu.h"

#include <array>
#include <cstddef>

#include "cpu.h"
#include "failure.h"

namespace guest {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr unsigned kEntries = 512;

// Descriptors: Arm ARM, D8.3.
constexpr std::uint64_t kValid = 1;
constexpr std::uint64_t kTableOrPage = 2;
constexpr std::uint64_t kAccessed = 1 << 10;
constexpr std::uint64_t kInnerShareable = 3 << 8;
constexpr std::uint64_t kPrivilegedExecuteNever = 1ULL << 53;
constexpr std::uint64_t kUnprivilegedExecuteNever = 1ULL << 54;
constexpr std::uint64_t kAddressMask = 0xffff'ffff'f000;

// MAIR_EL1: attribute 0 is Device-nGnRE, attribute 1 Normal write-back.
constexpr std::uint64_t kMair = 0x04 | 0xff << 8;
constexpr std::uint64_t kNormalIndex = 1 << 2;

// TCR_EL1: T0SZ = 16, cacheable inner-shareable walks, 4 KiB granule, no TTBR1.
constexpr std::uint64_t kTcr = 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23;

// SCTLR_EL1: the RES1 bits, I, C and M.
constexpr std::uint64_t kSctlrOn = 0x30d0'0800 | 1 << 12 | 1 << 2 | 1;

struct Table {
  alignas(kPage) std::array<std::uint64_t, kEntries> entries;
};

constinit std::array<Table, 160> tables{};
std::size_t tables_used = 1;  // the first is the root

std::uint64_t AddressOf(const Table& table) { return reinterpret_cast<std::uint64_t>(&table); }

Table& NextTable(std::uint64_t descriptor) {
  return *reinterpret_cast<Table*>(descriptor & kAddressMask);
}

std::uint64_t NewTable() {
  if (tables_used == tables.size()) Fail("out of page tables");
  return AddressOf(tables[tables_used++]) | kTableOrPage | kValid;
}

std::uint64_t Attributes(Memory type) {
  const std::uint64_t common = kAccessed | kUnprivilegedExecuteNever | kValid;
  if (type == Memory::kNormal) return common | kInnerShareable | kNormalIndex;
  if (type == Memory::kDeviceExecutable) return common;
  return common | kPrivilegedExecuteNever;
}

// Maps the largest piece possible at `address`; returns how far that reaches.
std::uint64_t MapPiece(std::uint64_t address, std::uint64_t physical, std::uint64_t size,
                       std::uint64_t attributes) {
  Table* table = tables.data();
  for (unsigned level = 0;; ++level) {
    const unsigned shift = 39 - 9 * level;
    const std::uint64_t span = 1ULL << shift;
    std::uint64_t& entry = table->entries[address >> shift & (kEntries - 1)];
    if (level == 3) {
      if (entry == 0) entry = physical | attributes | kTableOrPage;
      return span;
    }
    if (entry == 0 && level > 0 && ((address | physical) & (span - 1)) == 0 && size >= span) {
      entry = physical | attributes;
      return span;
    }
    if (entry == 0) entry = NewTable();
    if ((entry & kTableOrPage) == 0) return span - (address & (span - 1));
    table = &NextTable(entry);
  }
}

std::uint64_t PhysicalAddressSize() {
  std::uint64_t features;
  asm("mrs %0, id_aa64mmfr0_el1" : "=r"(features));
  const std::uint64_t range = features & 0xf;
  constexpr std::uint64_t k48Bits = 5;
  return range < k48Bits ? range : k48Bits;
}

}  // namespace

AddressSpace::AddressSpace()
    : registers_{.ttbr0 = AddressOf(tables[0]),
                 .tcr = kTcr | PhysicalAddressSize() << 32,
                 .mair = kMair,
                 .sctlr = kSctlrOn} {}

void AddressSpace::Map(std::uint64_t address, std::uint64_t physical, std::uint64_t size,
                       Memory type) {
  const std::uint64_t lead = address & (kPage - 1);
  const std::uint64_t start = address - lead;
  const std::uint64_t length = (lead + size + kPage - 1) & ~(kPage - 1);
  for (std::uint64_t done = 0; done < length;) {
    done += MapPiece(start + done, physical - lead + done, length - done, Attributes(type));
  }
  asm volatile("dsb ishst\n\tisb" ::: "memory");
}

void AddressSpace::Enable() const {
  asm volatile(
      "msr ttbr0_el1, %0\n\t"
      "msr tcr_el1, %1\n\t"
      "msr mair_el1, %2\n\t"
      "tlbi vmalle1\n\t"
      "dsb nsh\n\t"
      "isb\n\t"
      "msr sctlr_el1, %3\n\t"
      "isb" ::"r"(registers_.ttbr0),
      "r"(registers_.tcr), "r"(registers_.mair), "r"(registers_.sctlr)
      : "memory");
}

}  // namespace guest
