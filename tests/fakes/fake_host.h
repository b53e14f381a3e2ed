// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace microvm::fakes {

// One exit of a vCPU: fills the kvm_run page and gives 0, or the errno KVM_RUN fails with.
using VcpuExit = std::function<int(kvm_run& run)>;

VcpuExit PowerOff();
VcpuExit Reset();
VcpuExit Crash();
VcpuExit OtherSystemEvent();
VcpuExit MmioRead(std::uint64_t address, std::uint32_t length);
VcpuExit MmioWrite(std::uint64_t address, std::uint32_t length, std::uint64_t value);
VcpuExit Undecodable(std::uint64_t address);
VcpuExit InternalError();
VcpuExit SignalExit();
VcpuExit RunFails(int error);
// Does something outside the guest, then goes on as if a signal had come.
VcpuExit Meanwhile(std::function<void()> action);

struct FakeRegion {
  std::uint64_t size_bytes = 0;
  bool mappable = true;
  bool readable = true;
  bool writable = true;
};

struct FakeIrq {
  bool level = true;
  int line_error = 0;  // what request_irq said
};

// A device bound to VFIO's platform driver.
struct FakeDeviceSpec {
  std::string name = {};
  unsigned group = 0;
  bool no_iommu = false;
  bool can_reset = true;
  std::optional<unsigned> cdev = {};  // N of /dev/vfio/devices/vfioN
  std::vector<FakeRegion> regions = {};
  std::vector<FakeIrq> irqs = {};
};

struct FakeGpioLineSpec {
  std::string name = {};
  std::string consumer = {};  // who has it; "": nobody
  bool output = false;
  bool high = false;
  bool has_interrupt = true;
  bool taken_in_between = false;  // after it was looked at, before it was requested
  std::uint64_t flags = 0;        // that it was last configured with
};

struct FakeGpioChipSpec {
  std::string name = {};  // "gpiochip0"
  std::string label = {};
  std::vector<FakeGpioLineSpec> lines = {};
};

// The host a FakeKernel stands for.
struct FakeHost {
  int kvm_error = 0;      // of open /dev/kvm
  int vfio_error = 0;     // of open /dev/vfio/vfio
  int iommufd_error = 0;  // of open /dev/iommu
  int cdev_error = 0;     // of open /dev/vfio/devices/vfioN
  int kvm_version = KVM_API_VERSION;
  int vfio_version = 0;
  std::map<int, int> capabilities;  // overrides of KVM_CHECK_EXTENSION
  unsigned ipa_bits = 40;
  unsigned max_vcpus = 512;
  unsigned cpus = 4;
  bool has_vgic_v3 = true;
  bool has_vgic_v2 = false;
  bool wrong_mpidr = false;
  bool huge_pages = true;
  std::uint64_t hugetlbfs_page_bytes = std::uint64_t{2} << 20;
  // Where the pages of a file in a hugetlbfs are, in the order of the file.
  std::vector<std::uint64_t> huge_page_addresses;
  bool sees_addresses = true;                // CAP_SYS_ADMIN
  std::function<void()> on_pagemap = [] {};  // before each look at where a page is
  bool may_lock = true;
  bool may_schedule = true;
  bool isolates_msi = true;
  bool coherent_iommu = true;
  int vhost_error = 0;  // of open /dev/vhost-vsock and /dev/vhost-net
  // VHOST_GET_FEATURES: VHOST_FEATURES, VIRTIO_F_ACCESS_PLATFORM, and VIRTIO_VSOCK_F_SEQPACKET and
  // VIRTIO_NET_F_MRG_RXBUF, of which each kind has one.
  std::uint64_t vhost_features = 0x3'3d00'8002;
  bool raw_io = true;                                                  // CAP_SYS_RAWIO
  std::vector<std::pair<std::uint64_t, std::uint64_t>> reserved_iova;  // start, end; ascending
  std::uint64_t last_iova = 0xffff'ffff'ffff;
  std::map<unsigned, int> group_errors;  // of open /dev/vfio/GROUP
  std::map<unsigned, bool> not_viable;
  std::vector<FakeDeviceSpec> devices;
  std::vector<FakeGpioChipSpec> gpio_chips;
  int gpio_error = 0;  // of open /dev/gpiochipN
  // What the vGIC's registers read as, (group, attribute) -> value; those that are not here are 0.
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint32_t> vgic_registers;
};

}  // namespace microvm::fakes
