// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "vmm/host/fd.h"
#include "vmm/memory/address_range.h"

namespace microvm {

// A shared peripheral interrupt, counted from 0 (INTID 32). The number KVM's irqfd routing uses.
struct Spi {
  std::uint32_t number = 0;
  [[nodiscard]] std::uint32_t intid() const { return number + 32; }
  auto operator<=>(const Spi&) const = default;
};

// The interrupt controllers that KVM can be. A guest's driver for the one does not drive the other.
enum class GicVersion { kV2, kV3 };

// What this host's KVM can give a guest; asked of /dev/kvm alone, before any VM exists.
struct HostLimits {
  unsigned ipa_bits = 40;
  unsigned max_vcpus = 1;
  GicVersion gic = GicVersion::kV3;  // the newest
  bool pmu = false;
  bool sve = false;
  bool pauth = false;
};

// /dev/kvm. Needs KVM_API_VERSION 12 and the capabilities this program is built on; the
// constructor throws an Error that names all that is missing, with the remedy.
class Kvm {
 public:
  explicit Kvm(HostKernel& kernel);

  [[nodiscard]] const HostLimits& limits() const { return limits_; }
  [[nodiscard]] std::size_t run_mapping_bytes() const { return run_mapping_bytes_; }
  [[nodiscard]] const Fd& fd() const { return fd_; }

 private:
  Fd fd_;
  HostLimits limits_;
  std::size_t run_mapping_bytes_ = 0;
};

// One virtual machine. Everything registered with it goes when it is destroyed.
class Vm {
 public:
  // `ipa_bits`: size of the guest's physical address space, 32 to the host's limit.
  Vm(const Kvm& kvm, unsigned ipa_bits);

  [[nodiscard]] const Fd& fd() const { return fd_; }

  // Makes `host_memory` appear at `start` in the guest (KVM_SET_USER_MEMORY_REGION).
  void AddMemslot(GuestAddress start, std::span<std::byte> host_memory) {
    AddMemslot(start, host_memory, 0);
  }
  // The same of memory that the guest only reads: its writes are exits, as of a device's registers
  // (KVM_MEM_READONLY).
  void AddReadonlyMemslot(GuestAddress start, std::span<std::byte> host_memory);

  // How long, in ns, a vCPU whose guest waits stays awake for an interrupt (KVM_CAP_HALT_POLL).
  void SetHaltPoll(std::uint64_t ns);

  // Sets the level of an SPI's line (KVM_IRQ_LINE); false if the kernel refused. Any thread.
  [[nodiscard]] bool SetIrqLine(Spi spi, bool level) const noexcept;

 private:
  void AddMemslot(GuestAddress start, std::span<std::byte> host_memory, std::uint32_t flags);

  Fd fd_;
  std::uint32_t next_slot_ = 0;
};

// An in-kernel device made by KVM_CREATE_DEVICE (the vGIC).
class KvmDevice {
 public:
  KvmDevice(const Vm& vm, std::uint32_t type, const char* type_name);

  // Throws what the constructor would if KVM has no such device; makes none.
  static void Check(const Vm& vm, std::uint32_t type, const char* type_name);

  // KVM_SET_DEVICE_ATTR; `value` may be null for attributes without data. `what` is for errors.
  void SetAttribute(std::uint32_t group, std::uint64_t attribute, void* value, const char* what);
  // KVM_GET_DEVICE_ATTR of a register of 32 bits. Of the vGIC's: EBUSY while a vCPU runs.
  [[nodiscard]] std::uint32_t GetAttribute32(std::uint32_t group, std::uint64_t attribute,
                                             const char* what) const;

 private:
  Fd fd_;
};

}  // namespace microvm
