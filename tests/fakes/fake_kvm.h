// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include "tests/fakes/fake_kernel.h"

namespace microvm::fakes {

// /dev/kvm of an arm64 host (virt/kvm/kvm_main.c, arch/arm64/kvm/arm.c).
class FakeKvm final : public FakeObject {
 public:
  explicit FakeKvm(FakeKernel& kernel) : kernel_(kernel) {}
  [[nodiscard]] std::string name() const override { return "kvm"; }
  long Ioctl(unsigned long request, void* argument) override;
  void Closing() override;

 private:
  [[nodiscard]] long CheckExtension(int capability) const;
  long CreateVm(unsigned long type);

  FakeKernel& kernel_;
};

struct FakeMemslot {
  std::uint32_t slot;
  std::uint64_t guest;
  std::uint64_t size;
  std::uint64_t host;
};

struct FakeIrqfd {
  int trigger;
  int resample;  // -1: none
  std::uint32_t spi;
};

struct FakeIoeventfd {
  int eventfd;
  std::uint64_t address;
  std::uint32_t length;
  std::optional<std::uint64_t> value;  // nothing: any
};

class FakeVcpu;
class FakeVgic;

class FakeVm final : public FakeObject {
 public:
  FakeVm(FakeKernel& kernel, unsigned ipa_bits) : kernel_(kernel), ipa_bits_(ipa_bits) {}
  [[nodiscard]] std::string name() const override { return "vm"; }
  long Ioctl(unsigned long request, void* argument) override;
  void Closing() override;

  [[nodiscard]] const std::deque<FakeMemslot>& memslots() const { return memslots_; }
  [[nodiscard]] const std::deque<FakeIrqfd>& irqfds() const { return irqfds_; }
  // Whether an ioeventfd takes this write of the guest; it is signalled then.
  [[nodiscard]] bool TakesWrite(const kvm_run& run) const;
  [[nodiscard]] const std::deque<FakeIoeventfd>& ioeventfds() const { return ioeventfds_; }
  [[nodiscard]] unsigned ipa_bits() const { return ipa_bits_; }
  [[nodiscard]] std::size_t vcpus() const { return vcpu_ids_.size(); }
  FakeVgic* vgic = nullptr;  // null before it is made
  bool vgic_initialized = false;
  bool nisv_to_user = false;

 private:
  long CreateVcpu(unsigned long id);
  long SetMemory(const kvm_userspace_memory_region& region);
  long SetIrqfd(const kvm_irqfd& args);
  long SetIoeventfd(const kvm_ioeventfd& args);
  long SetIrqLine(const kvm_irq_level& line);
  long CreateDevice(void* argument);

  FakeKernel& kernel_;
  unsigned ipa_bits_;
  std::deque<FakeMemslot> memslots_;
  std::deque<FakeIrqfd> irqfds_;
  std::deque<FakeIoeventfd> ioeventfds_;
  std::set<unsigned long> vcpu_ids_;
};

// The in-kernel GICv3 or GICv2 (arch/arm64/kvm/vgic/vgic-kvm-device.c).
class FakeVgic final : public FakeObject {
 public:
  FakeVgic(FakeKernel& kernel, FakeVm& vm, bool v2) : kernel_(kernel), vm_(&vm), v2_(v2) {}
  [[nodiscard]] std::string name() const override { return "vgic"; }
  long Ioctl(unsigned long request, void* argument) override;
  void Closing() override;
  [[nodiscard]] std::uint32_t spis() const { return spis_; }
  // Whether a vCPU may run: both frames have an address.
  [[nodiscard]] bool has_frames() const { return distributor_ != 0 && redistributors_ != 0; }
  FakeVm*& vm() { return vm_; }

 private:
  long GetAttribute(const kvm_device_attr& attr);
  long SetAddress(std::uint64_t attribute, std::uint64_t value);
  long SetAddressV2(std::uint64_t attribute, std::uint64_t value);
  long SetInterruptCount(std::uint32_t count);

  FakeKernel& kernel_;
  FakeVm* vm_;
  bool v2_;
  std::uint32_t spis_ = 0;
  std::uint64_t distributor_ = 0;
  std::uint64_t redistributors_ = 0;  // how many the region has room for; v2: the CPU interface
};

class FakeVcpu final : public FakeObject {
 public:
  FakeVcpu(FakeKernel& kernel, FakeVm& vm, unsigned id, std::vector<VcpuExit> script);
  ~FakeVcpu() override;
  [[nodiscard]] std::string name() const override { return "vcpu " + std::to_string(id_); }
  long Ioctl(unsigned long request, void* argument) override;
  int MapTarget(std::size_t length, int protection, int flags, off_t& offset) override;
  // KVM_RUN: 0 or an errno. Called without the kernel's lock.
  int Run();
  FakeVm*& vm() { return vm_; }
  [[nodiscard]] bool running() const { return running_; }

 private:
  long Initialise(void* argument);
  long SetAttribute(const kvm_device_attr& attr);
  long GetRegister(const kvm_one_reg& reg) const;
  int Enter();
  int RunUntilExit();
  int WaitForSignal();
  void FinishRead();

  FakeKernel& kernel_;
  FakeVm* vm_;
  unsigned id_;
  RealFd memory_;
  kvm_run* run_;
  bool initialised_ = false;
  bool finalised_ = true;
  bool has_pmu_ = false;
  bool has_run_ = false;
  bool awaits_read_ = false;
  std::atomic<bool> running_ = false;
  std::deque<VcpuExit> script_;
};

}  // namespace microvm::fakes
