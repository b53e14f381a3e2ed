// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "vmm/fdt/device_tree.h"
#include "vmm/plan/device_facts.h"

namespace microvm {

// The entries of `node`'s `clocks` with their rates, as far as the host tells them: from the tree
// for fixed clocks, else from the clock framework's debugfs below `root`
// (/sys/kernel/debug/clk/NAME/clk_rate). Throws Error if `clocks` is malformed.
std::vector<ClockFacts> ReadClocks(const DeviceTree& tree, const DtNode& node,
                                   const std::filesystem::path& root);

// The same of every node below `node` that has `clocks`; nothing for one whose `clocks` are
// malformed.
ClocksBelow ReadClocksBelow(const DeviceTree& tree, const DtNode& node,
                            const std::filesystem::path& root);

// As ReadClocks, but nothing if `clocks` is malformed: for an inspection, which tells that itself.
std::vector<ClockFacts> ReadSoundClocks(const DeviceTree& tree, const DtNode& node,
                                        const std::filesystem::path& root);

// Rates in Hz of the clocks that drivers of the host have at present, by device and by their names
// in `clock-names` ("": the first, asked for without one), as /sys/kernel/debug/clk/clk_summary of
// Linux 6.12 tells (drivers/clk/clk.c); not those of 0 Hz. A device that VFIO has has none.
using DriverRates = std::map<std::string, std::map<std::string, std::uint64_t>>;
DriverRates ReadDriverRates(const std::filesystem::path& root);

}  // namespace microvm
