// SPDX-License-Identifier: Apache-2.0
// Every fact about the machine that the guest needs, as plain data read from the device tree.
#pragma once

#include <cstdint>
#include <string_view>

#include "bounded_list.h"
#include "device_tree.h"
#include "psci.h"

namespace guest {

inline constexpr std::size_t kMaxCpus = 16;

struct UartFacts {
  PhysicalRange registers;
  Interrupt interrupt;
};

// GICv3: distributor, then redistributor regions. GICv2: distributor, then the CPU interface.
struct GicFacts {
  unsigned version = 0;
  PhysicalRange distributor;
  BoundedList<PhysicalRange, 4> others;
};

// The passed-through device: the first node compatible with what `device=` on the command line
// says, arm,pl031 if it says nothing.
struct DeviceFacts {
  std::string_view name;
  BoundedList<PhysicalRange, 8> regions;
  BoundedList<Interrupt, 256> interrupts;
};

struct Board {
  Conduit conduit = Conduit::kNone;
  UartFacts uart;
  GicFacts gic;
  Interrupt virtual_timer;
  Interrupt pmu;  // INTID 0: the tree has none
  DeviceFacts device;
  BoundedList<PhysicalRange, 8> memory;
  BoundedList<std::uint64_t, kMaxCpus> cpus;  // the `reg` of each: its affinity
  std::string_view arguments;
};

// What it takes to print and to power off. Fails without a word where there is no PL011.
Conduit ReadConduit(const DeviceTree& tree);
UartFacts ReadUart(const DeviceTree& tree);

// Everything; a missing part is a failure that names it. A missing device under test is none.
Board ReadBoard(const DeviceTree& tree);

}  // namespace guest
