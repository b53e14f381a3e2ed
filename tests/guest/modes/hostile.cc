// SPDX-License-Identifier: Apache-2.0
// Everything a guest may not do, or may but nobody does. The guest survives by its exception
// guard; the question is whether whoever runs it does.
#include <array>

#include "../cpu.h"
#include "../device_line.h"
#include "../exceptions.h"
#include "../failure.h"
#include "../gic_distributor.h"
#include "../probes.h"
#include "hostile_places.h"
#include "modes.h"

namespace guest {
namespace {

constexpr std::uint64_t kZeros = 0;
constexpr std::uint64_t kOnes = ~0ULL;

class Intruder {
 public:
  explicit Intruder(Guest& guest) : guest_(guest) { UnmaskSystemErrors(); }

  ~Intruder() { MaskSystemErrors(); }

  Intruder(const Intruder&) = delete;
  Intruder& operator=(const Intruder&) = delete;
  Intruder(Intruder&&) = delete;
  Intruder& operator=(Intruder&&) = delete;

  [[nodiscard]] std::uint64_t accesses() const { return accesses_; }
  [[nodiscard]] ExceptionCounts exceptions() const { return guard_.counts(); }

  void Loads(std::uint64_t address) { Run(ProbeKind::kPlainLoad, address, 0); }
  void Stores(std::uint64_t address, std::uint64_t value) {
    Run(ProbeKind::kPlainStore, address, value);
  }

  // Every access there is.
  void Everything(std::uint64_t address, std::uint64_t value) {
    for (const Probe& probe : AllProbes()) {
      if (probe.kind != ProbeKind::kFirmwareCall) Run(probe, address, value);
    }
  }

  // Every access that leaves its target as it is.
  void EveryLoad(std::uint64_t address) {
    for (const Probe& probe : AllProbes()) {
      if (probe.kind != ProbeKind::kFirmwareCall && !probe.stores()) Run(probe, address, 0);
    }
  }

  void Jump(std::uint64_t address) {
    ++accesses_;
    probe_branch(address);
  }

  // Calls firmware in every way; each must answer NOT_SUPPORTED or be undefined.
  void CallFirmware(std::uint64_t function) {
    for (const Probe& probe : AllProbes()) {
      if (probe.kind != ProbeKind::kFirmwareCall) continue;
      const std::uint64_t undefined = guard_.counts().undefined;
      const auto result = static_cast<std::int32_t>(Run(probe, function, 0));
      if (guard_.counts().undefined == undefined && result != kPsciNotSupported) {
        Fail(probe.name, " ", Hex{function}, " returned ", result);
      }
    }
  }

  // The page as device memory where it is, and as ordinary memory, where nothing has to be
  // aligned, at the address returned.
  std::uint64_t Expose(std::uint64_t page) {
    AddressSpace& space = guest_.address_space();
    space.MapIdentity(page, kPageSize, Memory::kDevice);
    space.Map(AliasOf(page), page, kPageSize, Memory::kNormal);
    return AliasOf(page);
  }

  // The address at which `address` may be fetched from.
  std::uint64_t ExposeExecutable(std::uint64_t address) {
    guest_.address_space().Map(SecondAliasOf(address), address, 4, Memory::kDeviceExecutable);
    return SecondAliasOf(address);
  }

 private:
  std::uint64_t Run(const Probe& probe, std::uint64_t address, std::uint64_t value) {
    ++accesses_;
    return probe.run(address, value);
  }

  void Run(ProbeKind kind, std::uint64_t address, std::uint64_t value) {
    for (const Probe& probe : AllProbes()) {
      if (probe.kind == kind) Run(probe, address, value);
    }
  }

  Guest& guest_;
  ExceptionGuard guard_;
  std::uint64_t accesses_ = 0;
};

// A width too large, a boundary in the middle: the last bytes of a page and the first after it.
void AttackEnd(Intruder& intruder, std::uint64_t alias_of_page) {
  for (std::uint64_t back = 15; back > 0; --back)
    intruder.EveryLoad(alias_of_page + kPageSize - back);
}

void AttackUart(Guest& guest, Intruder& intruder) {
  const std::uint64_t uart = guest.board().uart.registers.start;
  for (std::uint64_t offset = 0; offset < kPageSize; ++offset) {
    if (offset % 4 != 3) intruder.Loads(uart + offset);
  }
  // The data register is spared: what is stored there is output.
  for (std::uint64_t offset = 4; offset < kPageSize; offset += 4) {
    intruder.Stores(uart + offset, kOnes);
    intruder.Stores(uart + offset, kZeros);
  }
  constexpr std::uint64_t kReserved =
      0x40;  // as long as a DC ZVA block and clear of the data register
  const std::uint64_t alias = intruder.Expose(uart);
  intruder.Everything(uart + kReserved, kZeros);
  intruder.Everything(alias + kReserved, kZeros);
  intruder.Everything(alias + kReserved + 1, kZeros);
  intruder.Expose(uart + kPageSize);
  AttackEnd(intruder, alias);
  const Pl011 restored(uart);
  guest.console().Print("data_register=");
  intruder.Stores(uart, '#');
  guest.console().Line("");
}

void AttackEmptyPages(Guest& guest, Intruder& intruder) {
  for (const std::uint64_t page : EmptyPages(guest.board())) {
    const std::uint64_t alias = intruder.Expose(page);
    for (const std::uint64_t value : {kZeros, kOnes}) {
      intruder.Everything(page, value);
      intruder.Everything(page + kPageSize - 64, value);
      intruder.Everything(page + 1, value);
      intruder.Everything(alias, value);
      intruder.Everything(alias + 3, value);
    }
    AttackEnd(intruder, alias);
  }
}

void AttackGic(Guest& guest, Intruder& intruder) {
  const std::uint64_t distributor = guest.board().gic.distributor.start;
  const std::uint32_t type = Read32(distributor + GicDistributor::kType);
  for (std::uint64_t offset = 0; offset < kPageSize; offset += 4)
    intruder.Loads(distributor + offset);
  intruder.Stores(distributor + GicDistributor::kType, kOnes);
  constexpr std::uint64_t kLastBankWord = 0x7c;  // storing 0 into these banks changes nothing
  for (const std::uint64_t bank : {GicDistributor::kSetEnable, GicDistributor::kClearEnable,
                                   GicDistributor::kPending, GicDistributor::kActive}) {
    for (std::uint64_t odd = 0; odd < 4; ++odd) intruder.Stores(distributor + bank + odd, kZeros);
    intruder.Stores(distributor + bank + kLastBankWord, kZeros);
  }
  const std::uint64_t alias = intruder.Expose(distributor);
  intruder.EveryLoad(alias + GicDistributor::kSetEnable);
  intruder.EveryLoad(alias + GicDistributor::kSetEnable + 1);
  intruder.Everything(alias + GicDistributor::kActive, kZeros);
  for (const std::uint64_t page : AbsentRedistributors(guest.board())) {
    intruder.Expose(page);
    for (const std::uint64_t offset : {0x0UL, 0x8UL, 0x14UL, 0x100UL, 0xffe8UL}) {
      guest.address_space().MapIdentity(page + offset, 8, Memory::kDevice);
      intruder.Loads(page + offset);
      intruder.Stores(page + offset, kZeros);
    }
  }
  if (Read32(distributor + GicDistributor::kType) != type) Fail("GICD_TYPER has changed");
}

// Reads only: whatever else the device is, it is this guest's own.
void AttackDevice(Guest& guest, Intruder& intruder) {
  for (const PhysicalRange& region : guest.board().device.regions) {
    for (std::uint64_t offset = 0; offset < region.size && offset < kPageSize; offset += 4) {
      intruder.Loads(region.start + offset);
    }
    for (const std::uint64_t width : {8UL, 4UL, 2UL, 1UL}) intruder.Loads(region.end() - width);
    intruder.EveryLoad(region.start);
  }
}

void Fetch(Guest& guest, Intruder& intruder) {
  constexpr std::uint64_t kFlags = 0x18;  // below 0x10000, so UDF where it can be fetched
  constexpr std::uint64_t kReserved = 0x0c;
  const Board& board = guest.board();
  intruder.Jump(intruder.ExposeExecutable(board.uart.registers.start + kFlags));
  intruder.Jump(intruder.ExposeExecutable(board.gic.distributor.start + kReserved));
  for (const PhysicalRange& region : board.device.regions) {
    constexpr std::uint64_t kMask = 0x10;  // the PL031's: 0 or 1
    intruder.Jump(intruder.ExposeExecutable(region.start + kMask));
  }
  for (const std::uint64_t page : EmptyPages(board)) intruder.Jump(intruder.ExposeExecutable(page));
  intruder.Jump(board.uart.registers.start);      // execute-never
  intruder.Jump(board.uart.registers.start + 2);  // misaligned
}

void AttackFirmware(Guest& guest, Intruder& intruder) {
  // No function of PSCI, the architecture, a vendor hypervisor, or of any owner.
  constexpr std::array<std::uint64_t, 8> kUnknown{0x8400'001e, 0xc400'001e, 0x8000'ffff,
                                                  0xc600'1234, 0xbf00'7777, 0xdead'beef'c500'7777,
                                                  0xffff'ffff, 0x0000'0042};
  for (const std::uint64_t function : kUnknown) intruder.CallFirmware(function);
  const Psci& psci = guest.psci();
  const auto expect = [](std::string_view call, std::int64_t result, std::int64_t expected) {
    if (result != expected) Fail(call, " returned ", result, ", not ", expected);
  };
  constexpr std::uint64_t kNoCpu = 0xff'ffff'ffff;
  expect("CPU_ON of no CPU", psci.Call(PsciFunction::kCpuOn, kNoCpu, 1, kOnes),
         kPsciInvalidParameters);
  expect("CPU_ON with reserved bits", psci.Call(PsciFunction::kCpuOn, kOnes, kOnes, kOnes),
         kPsciInvalidParameters);
  expect("AFFINITY_INFO of no CPU", psci.Call(PsciFunction::kAffinityInfo, kNoCpu),
         kPsciInvalidParameters);
  expect("PSCI_FEATURES of no function", psci.Call(PsciFunction::kFeatures, 0x8400'001e),
         kPsciNotSupported);
  constexpr std::uint64_t kNoResetType = 0x1234;
  const std::int64_t reset = psci.Call(PsciFunction::kSystemReset2, kNoResetType);
  if (reset != kPsciInvalidParameters && reset != kPsciNotSupported) {
    Fail("SYSTEM_RESET2 with a bad type returned ", reset);
  }
}

// PrimeCell identification, TRM DDI 0183, 3.3.16 and 3.3.18.
void CheckUart(const Board& board) {
  constexpr std::array<std::pair<std::uint64_t, std::uint32_t>, 4> kIdentity{
      {{0xfe0, 0x11}, {0xfe4, 0x10}, {0xff0, 0x0d}, {0xffc, 0xb1}}};
  for (const auto& [offset, expected] : kIdentity) {
    const std::uint32_t value = Read32(board.uart.registers.start + offset);
    if (value != expected) Fail("PL011 register ", Hex{offset}, " is ", Hex{value});
  }
}

}  // namespace

void RunFlood(Guest& guest) {
  constexpr std::uint64_t kLineLength = 64;
  constexpr std::string_view kFiller = "........................................flood";
  const std::uint64_t lines = guest.Number("bytes", 8192) / kLineLength;
  for (std::uint64_t line = 0; line < lines; ++line) {
    guest.console().Line(kFiller, " ", 1'000'000'000'000'000 + line);
  }
  CheckUart(guest.board());
}

void RunHostile(Guest& guest) {
  struct Part {
    std::string_view name;
    void (*run)(Guest& guest, Intruder& intruder);
  };
  constexpr std::array kParts{Part{"uart", &AttackUart}, Part{"nothing", &AttackEmptyPages},
                              Part{"gic", &AttackGic},   Part{"device", &AttackDevice},
                              Part{"fetch", &Fetch},     Part{"firmware", &AttackFirmware}};
  guest.StartInterrupts();
  Intruder intruder(guest);
  for (const Part& part : kParts) {
    part.run(guest, intruder);
    guest.console().Line("hostile part=", part.name, " accesses=", intruder.accesses(),
                         " aborts=", intruder.exceptions().total());
  }
  const ExceptionCounts counts = intruder.exceptions();
  guest.console().Line("hostile accesses=", intruder.accesses(), " aborts=", counts.total(),
                       " external=", counts.external, " alignment=", counts.alignment,
                       " fetch=", counts.fetch, " undefined=", counts.undefined,
                       " serror=", counts.system, " other=", counts.other);
  CheckUart(guest.board());
  if (guest.board().device.regions.empty()) return;
  DeviceLine line(guest, DeviceLine::Before::kQuiet);
  for (unsigned i = 0; i < 10; ++i) line.RaiseAndWait();
  line.CheckExact();
  guest.console().Line("hostile interrupts_after=", line.handled());
}

}  // namespace guest
