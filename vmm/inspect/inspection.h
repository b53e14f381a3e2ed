// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "vmm/config/vm_config.h"
#include "vmm/inspect/dma.h"
#include "vmm/inspect/host_index.h"
#include "vmm/plan/device_facts.h"
#include "vmm/plan/interrupt_line.h"

namespace microvm {

// Whether a device can be passed through, as far as is known before anything is tried.
enum class Verdict {
  kAsIs,          // nothing of its node has to be replaced
  kWithStubs,     // suppliers of the host are replaced by fixed clocks and the like, or left out
  kNeedsBinding,  // the kernel would hand it over, but the rules cannot make the guest's node
  kRefused,       // it cannot be handed over
};
const char* ToString(Verdict verdict);  // "as is", "with stubs", ...

// One reason for the verdict; the worst of its reasons is a device's verdict.
struct Reason {
  Verdict verdict;
  std::string text;
  std::string fix = {};  // what to write or type; "" if nothing helps
};

struct RegionView {
  std::string name;  // from reg-names
  NodeRegion region;
  std::vector<std::string> page_sharers;  // who else lives in its 4 KiB pages
  std::vector<std::string> owners;        // enabled nodes that have some of its bytes too
};

struct InterruptView {
  std::string name;  // from interrupt-names
  InterruptLine line;
  bool duplicate = false;                // the node lists the line twice
  std::vector<std::string> shared_with;  // enabled nodes that have the line too
};

struct SupplierView {
  SupplierClass supplier;
  std::string property;
  std::string name;      // of a clock, reset...: from the property's -names
  std::string provider;  // path
  std::vector<std::uint32_t> arguments;
  bool fixed = false;                    // a clock that nobody can change
  std::optional<std::uint64_t> rate_hz;  // of a clock
  std::vector<std::string> shared_with;
};

// What a running host adds to its tree.
struct LiveFacts {
  std::string name;    // under /sys/bus/platform/devices
  std::string driver;  // "" if none is bound
  bool bound_to_vfio = false;
  std::optional<unsigned> iommu_group;
  bool no_iommu = false;                   // the group is a stand-in for a missing IOMMU
  std::vector<std::string> group_members;  // other devices of the group
  // Of those that drivers of the host have: which driver, and the command that ends it.
  std::vector<std::string> group_holders;
  bool vfio_driver = false;           // vfio-platform, or vfio-amba for AMBA devices, is there
  std::optional<bool> no_iommu_mode;  // module parameters; nothing: no such module
  std::optional<bool> unsafe_interrupts;
  std::string unsafe_interrupts_module = "vfio_iommu_type1";  // that has the flag to set
  std::optional<bool> reset_required;
  std::string not_ready;  // what a start would say; "" if the device is ready
  std::string not_ready_fix;
  std::string in_use;  // what `device bind` would say of what the host uses it for; "" if nothing
  std::string in_use_fix;
  // Nodes whose devices no driver of the host has: what they share is free while it stays so.
  std::set<std::string> idle_nodes;
};

// Everything that is to be said about one node.
struct Inspection {
  std::string device;  // the name Linux gives it: "ff070000.canfd"
  std::string node;    // path
  std::vector<std::string> compatible;
  bool enabled = false;
  bool amba = false;
  std::string maker;  // the node whose driver alone can make a device of it; "": the kernel does
  std::vector<RegionView> regions;
  std::vector<InterruptView> interrupts;
  DmaFacts dma;
  std::vector<SupplierView> suppliers;
  std::vector<std::string> unknown_rates;             // clocks whose rate nobody has told
  std::map<std::string, std::uint64_t> driver_rates;  // in Hz, that only the host's driver knows
  std::vector<HostUser> users;                        // nodes of the host that need it
  std::string reset_driver;                           // "": none
  bool has_no_table = false;          // only the user can say what of it the guest shall have
  std::vector<std::string> drop;      // what cannot cross, as the configuration's key has it
  std::vector<std::string> left_out;  // of the guest's node, each with the reason
  std::vector<std::byte> guest_tree;  // of a pretended VM with it; empty: it could not be made
  std::optional<LiveFacts> live;

  Verdict verdict = Verdict::kAsIs;
  std::vector<Reason> reasons;          // at least one; the worst first
  std::vector<std::string> host_fixes;  // what the host needs besides: commands, kernel options
  std::string toml;                     // the [[platform]] table; "" if it would be of no use
};

}  // namespace microvm
