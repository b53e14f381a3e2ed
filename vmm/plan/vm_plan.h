// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vmm/config/vm_config.h"
#include "vmm/kvm/kvm.h"
#include "vmm/memory/address_range.h"
#include "vmm/plan/device_facts.h"

namespace microvm {

// The windows of an architecture's guest physical address map.
struct PlatformLayout {
  AddressRange gic_distributor;
  AddressRange gic_redistributors;  // window; each CPU takes redistributor_bytes of it
  std::uint64_t redistributor_bytes = 0;
  AddressRange gic_v2_distributor;
  AddressRange gic_v2_cpu_interface;
  AddressRange console;
  std::vector<AddressRange> device_windows;  // below RAM; what does not fit goes above it
  GuestAddress ram_start;
  std::uint64_t region_alignment = 0;  // of passed-through regions, at least
  std::uint64_t fdt_bytes_maximum = 0;
  std::uint32_t spi_maximum = 0;
};

enum class Trigger { kEdge, kLevel };

struct PlannedRegion {
  AddressRange guest;
  bool mapped;  // else trapped
};

struct PlannedInterrupt {
  Spi spi;
  Trigger trigger;
};

// A property of a guest node and where it came from, for --print-plan.
struct PlannedProperty {
  std::string name;
  std::vector<std::byte> value;
  std::string origin;
};

// A node of the guest's tree made from one of the host's.
struct PlannedNode {
  std::string name;
  std::vector<PlannedProperty> properties;
  std::vector<PlannedNode> children;
};

// A fixed clock that stands for one of the host's.
struct PlannedClock {
  std::uint32_t phandle;
  std::string name;  // of its node, without unit address
  std::uint64_t rate_hz;
};

struct PlannedDevice {
  std::string host;
  DmaMode dma;
  VfioBackend backend;
  bool no_iommu;
  InterruptPath interrupt_path;
  std::vector<PlannedRegion> regions;
  std::vector<PlannedInterrupt> interrupts;
  std::vector<PlannedClock> clocks;
  PlannedNode node;
  ResetConfig reset;
  std::vector<std::string> left_out;  // host properties that did not cross, each with the reason
};

// Where the boot files go.
struct PlannedBoot {
  GuestAddress kernel;  // where the Image is loaded, and entered
  std::uint64_t kernel_memory_bytes;
  bool kernel_compressed;
  std::optional<AddressRange> initrd;
  AddressRange fdt;  // room for the tree
};

// The interrupt controller.
struct PlannedGic {
  GicVersion version;
  AddressRange distributor;
  AddressRange cpu_interfaces;  // v3: the redistributors; v2: the one place all CPUs have theirs at
};

// Every decision about a VM, before any of it exists. Pure data: the guest's device tree and the
// recipe of Machine are functions of it.
struct VmPlan {
  VmConfig config;
  unsigned ipa_bits;
  AddressRange ram;
  std::vector<std::uint64_t> mpidrs;  // affinity of each vCPU, as MPIDR_EL1 will show it
  PlannedGic gic;
  std::uint32_t spi_count;  // a multiple of 32
  AddressRange console;
  Spi console_spi;
  std::vector<PlannedDevice> devices;
  PlannedBoot boot;
};

// Phandles of the nodes every guest has; those of a device's clocks count on from kFirstFree.
enum class Phandle : std::uint32_t { kGic = 1, kConsoleClock = 2, kFirstFree = 3 };

// Decides everything, or throws one Error with every conflict found. Pure.
VmPlan MakePlan(const VmConfig& config, const std::vector<DeviceFacts>& devices,
                const BootFacts& boot, const HostLimits& limits, const PlatformLayout& layout);

// The affinity fields KVM gives vCPU `id` (arch/arm64/kvm/sys_regs.c: reset_mpidr).
std::uint64_t PredictMpidr(unsigned id);

// The plan for people and scripts: TOML-like lines.
std::string FormatPlan(const VmPlan& plan);

}  // namespace microvm
