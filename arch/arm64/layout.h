// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/plan/vm_plan.h"

namespace microvm {

// The guest's physical address map. Ends are exclusive.
//
//   start        end          what
//   0x00000000   0x08000000   nothing: a null pointer faults
//   0x08000000   0x08010000   GICv3 distributor, or, in the first 4 KiB, a GICv2's
//   0x08010000   0x08012000   GICv2 CPU interface
//   0x09000000   0x09001000   console, PL011 (where QEMU's virt board has its own)
//   0x10000000   0x14000000   GICv3 redistributors, 128 KiB a CPU, 512 CPUs
//   0x14000000   0x40000000   regions of passed-through devices, first fit
//   0x40000000   ...          RAM; regions that find no room below go above it
//
// The RAM keeps clear of the window at 0x08000000 that the SMMU drivers of the host reserve for
// message-signalled interrupts: guest addresses are the I/O virtual addresses of devices.
inline PlatformLayout Arm64Layout() {
  return {
      .gic_distributor = AddressRange({0x0800'0000}, 0x1'0000),
      .gic_redistributors = AddressRange({0x1000'0000}, 0x400'0000),
      .redistributor_bytes = 0x2'0000,
      .gic_v2_distributor = AddressRange({0x0800'0000}, 0x1000),
      .gic_v2_cpu_interface = AddressRange({0x0801'0000}, 0x2000),
      .console = AddressRange({0x0900'0000}, 0x1000),
      .device_windows = {AddressRange({0x1400'0000}, 0x2c00'0000)},
      .ram_start = {0x4000'0000},
      // A page of the largest kind that the host or the guest may use.
      .region_alignment = 0x1'0000,
      // Documentation/arch/arm64/booting.rst: the tree must not exceed 2 MiB.
      .fdt_bytes_maximum = 0x20'0000,
      // KVM takes less than 1,024 interrupts in multiples of 32, the first 32 of which are no SPIs
      // (arch/arm64/kvm/vgic/vgic-kvm-device.c: vgic_set_common_attr).
      .spi_maximum = 960,
  };
}

}  // namespace microvm
