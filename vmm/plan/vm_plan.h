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
#include "vmm/plan/access_windows.h"
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
  bool mapped;              // but for trapped_pages; else trapped
  std::uint32_t index = 0;  // among the device's regions, some of which may be withheld
  std::vector<AccessWindow> windows = {};       // what trapped accesses may do; empty: everything
  std::vector<OffsetRange> trapped_pages = {};  // of a mapped region, in ascending order
};

struct PlannedInterrupt {
  Spi spi;
  Trigger trigger;
  std::uint32_t index = 0;  // among the device's interrupts, some of which may be withheld
  // The line of an earlier one, listed again: it has the same SPI and index.
  bool repeats = false;
  std::optional<std::uint32_t> host_intid = {};  // at the host's GIC, where the tree tells
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
  bool configured = false;  // the rate is the configuration's, not the host's
};

// A reset controller of the guest's whose resets do nothing, for drivers that insist on having some
// (bindings/reset/hisilicon,hi3660-reset.yaml, over a page of registers that a syscon stands for).
struct PlannedResets {
  std::uint32_t controller_phandle;
  std::uint32_t syscon_phandle;
  std::uint32_t count;
  std::optional<AddressRange> registers;  // decided last
};

struct PlannedDevice {
  std::string host;
  DmaMode dma;
  VfioBackend backend;
  bool no_iommu;
  InterruptPath interrupt_path;
  std::vector<PlannedRegion> regions;
  std::uint32_t access_bytes;  // of each access to a trapped register; 0: as the guest likes
  std::vector<PlannedInterrupt> interrupts;
  std::uint32_t phandle;  // of `node`; 0: none
  std::vector<PlannedClock> clocks;
  std::optional<PlannedResets> resets;
  PlannedNode node;
  std::vector<PlannedNode> companions;  // nodes of mere data that `node` refers to
  ResetConfig reset;
  std::vector<std::string> left_out;  // host properties that did not cross, each with the reason
};

// A device of ours that the guest's virtio drivers drive.
struct PlannedVirtio {
  enum class Kind { kDisk, kNet, kRng, kVsock, kConsole, kGpio };
  Kind kind;
  std::size_t index;  // of a disk, a network, a console or a GPIO controller: in the configuration
  std::string name;   // "disk0", "net0", "rng", "vsock", "hvc0", "gpio0": in statistics and errors
  AddressRange registers;
  Spi spi;                    // an edge
  std::uint32_t phandle = 0;  // of a GPIO controller
};

// An emulated PL061.
struct PlannedPl061 {
  std::size_t index;  // in the configuration
  std::string name;   // "gpio0", and the label of its node
  AddressRange registers;
  Spi spi;  // a level
  std::uint32_t phandle;
  std::uint32_t clock_phandle;
};

// The PL031.
struct PlannedRtc {
  AddressRange registers;
  Spi spi;
  std::uint32_t clock_phandle;
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
  std::vector<AddressRange> ram;      // in ascending order
  std::vector<std::uint64_t> mpidrs;  // affinity of each vCPU, as MPIDR_EL1 will show it
  PlannedGic gic;
  std::uint32_t spi_count;  // a multiple of 32
  AddressRange console;
  Spi console_spi;
  std::vector<PlannedDevice> devices;
  std::vector<PlannedVirtio> virtio;  // in the order in which a guest finds them
  std::optional<PlannedRtc> rtc;
  std::vector<PlannedPl061> pl061s;
  PlannedBoot boot;
  std::vector<OverlayFile> overlays;  // merged into the guest's tree last, in their order
  // The largest phandle of the host's tree: the guest's are above it. A reference in a property
  // that no rule knows crosses as the number it is, and must not become one to a node of the
  // guest's.
  std::uint32_t host_phandles;
};

// Phandles, above the host's, of the nodes every guest has; those of devices, their clocks and the
// like count on from kFirstFree.
enum class Phandle : std::uint32_t { kGic = 1, kConsoleClock = 2, kConsole = 3, kFirstFree = 4 };
constexpr std::uint32_t Number(std::uint32_t host_phandles, Phandle phandle) {
  return host_phandles + static_cast<std::uint32_t>(phandle);
}

// Decides everything, or throws Error: that there is no place for RAM, or else one with every
// conflict found. Pure.
VmPlan MakePlan(const VmConfig& config, const std::vector<DeviceFacts>& devices,
                const BootFacts& boot, const HostLimits& limits, const PlatformLayout& usual);

// The affinity fields KVM gives vCPU `id` (arch/arm64/kvm/sys_regs.c: reset_mpidr).
std::uint64_t PredictMpidr(unsigned id);

// The label of a device's node, for overlays: "ff070000.canfd" is canfd_ff070000.
std::string DeviceLabel(const std::string& host);

// The plan for people and scripts: TOML-like lines.
std::string FormatPlan(const VmPlan& plan);

}  // namespace microvm
