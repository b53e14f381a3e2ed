// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/kvm.h>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/fakes/fake_host.h"
#include "tests/fakes/fake_object.h"
#include "vmm/host/host_kernel.h"

namespace microvm::fakes {

// What a vhost device was told of a queue: addresses are the process's; eventfds are -1 for none.
struct VhostQueue {
  std::uint32_t size = 0;
  std::uint32_t base = 0;
  std::uint64_t descriptors = 0;
  std::uint64_t available = 0;
  std::uint64_t used = 0;
  int kick = -1;
  int call = -1;
  int error = -1;
  int backend = -1;  // of vhost-net: a tap
};
struct VhostState {
  bool owned = false;
  int policy = 0;  // scheduling policy of its thread
  bool running = false;
  std::uint64_t features = 0;
  std::uint64_t cid = 0;
  std::vector<std::array<std::uint64_t, 3>> memory;  // guest's address, bytes, process's address
  std::array<VhostQueue, 2> queues;
};

// A HostKernel without hardware, as strict as Linux 6.12 about arguments and order. /dev/kvm,
// /dev/iommu, /dev/vfio/* and /dev/vhost-* are fakes (below any folder, so that a HostTree may
// stand for the root); other files and eventfds are real; memory is real memory. A folder called
// "hugepages" is a hugetlbfs, whose pages are where FakeHost says.
//
// Calls of the thread that made it are logged and counted; those of vCPU threads, whose order is
// not determined, are logged apart.
class FakeKernel final : public HostKernel {
 public:
  FakeKernel();
  ~FakeKernel() override;

  // What the host is like. Change it before the call it matters for.
  FakeHost host;

  // What vCPU `id` does in its next boot; without a script it waits until it is stopped.
  void Script(unsigned id, std::vector<VcpuExit> exits);

  // The n-th call from now, counted from 1, fails with `error`. close and munmap are not counted:
  // on Linux they release whatever they return.
  void FailCall(std::size_t n, int error);
  // Every call whose log line starts with `prefix` fails with `error`.
  void FailMatching(const std::string& prefix, int error);
  // The log line of the call that FailCall made fail; "" if it has not come to that.
  [[nodiscard]] std::string failed_call() const;
  // Calls counted so far.
  [[nodiscard]] std::size_t calls() const;

  // Calls of the owner's thread, in order: "open /dev/kvm", "KVM_CREATE_VCPU 0", "close vm".
  [[nodiscard]] std::vector<std::string> log() const;
  // Calls of other threads but KVM_RUN.
  [[nodiscard]] std::vector<std::string> vcpu_log() const;
  void ClearLog();

  // Everything acquired and not released: descriptors, mappings, irqfds, memory slots.
  [[nodiscard]] std::vector<std::string> Live() const;
  // What was done in an order that leaves something running loose, or that no kernel accepts
  // without harm: "vm closed before its irqfd 1", ...
  [[nodiscard]] std::vector<std::string> violations() const;

  // The values the guest's trapped reads got, in order.
  [[nodiscard]] std::vector<std::uint64_t> mmio_reads() const;
  // Guest writes to aborted accesses: how many external aborts were injected.
  [[nodiscard]] unsigned aborts() const;
  // One-register values that were set: (vCPU, register) -> value.
  [[nodiscard]] std::map<std::pair<unsigned, std::uint64_t>, std::uint64_t> registers() const;
  // The host's memory behind the first memory slot of a VM that is open; null without one.
  [[nodiscard]] std::byte* GuestRam();
  // The host's end of the first tap that is open; -1 without one.
  [[nodiscard]] int TapHost();
  // What is mapped for devices, as (IOVA, bytes, host address), of every address space.
  [[nodiscard]] std::vector<std::array<std::uint64_t, 3>> DmaMappings();
  // Of the first that is open of "vhost-vsock" or "vhost-net".
  [[nodiscard]] VhostState Vhost(const std::string& name = "vhost-vsock");
  // Levels that KVM_IRQ_LINE has set, in order, as (INTID, level).
  [[nodiscard]] std::vector<std::pair<std::uint32_t, bool>> irq_lines() const;

  // The device's interrupt line goes high (and stays so, for a level).
  void RaiseInterrupt(const std::string& device, unsigned index);
  void LowerInterrupt(const std::string& device, unsigned index);

  // The other end of a line of a GPIO chip pulls it.
  void PullGpio(std::size_t chip, std::size_t line, bool high);
  [[nodiscard]] FakeGpioLineSpec gpio_line(std::size_t chip, std::size_t line) const;

  int Open(const char* path, int flags) override;
  int Close(int fd) override;
  int Ioctl(int fd, unsigned long request, void* argument) override;
  void* Mmap(void* address, std::size_t length, int protection, int flags, int fd,
             off_t offset) override;
  int Munmap(void* address, std::size_t length) override;
  int Madvise(void* address, std::size_t length, int advice) override;
  int Mlock(const void* address, std::size_t length) override;
  ssize_t Pread(int fd, void* buffer, std::size_t length, off_t offset) override;
  ssize_t Pwrite(int fd, const void* buffer, std::size_t length, off_t offset) override;
  int Fstat(int fd, struct stat* status) override;
  int Fstatfs(int fd, struct statfs* status) override;
  int Ftruncate(int fd, off_t length) override;
  int Flock(int fd, int operation) override;
  int Unlink(const char* path) override;
  int IoUringSetup() override;
  int IoUringRegisterBuffers(int fd, std::span<const iovec> buffers) override;
  int EventFd(unsigned initial, int flags) override;
  int SetAffinity(pid_t thread, std::span<const unsigned> cpus) override;
  int SetScheduler(pid_t thread, int policy, int priority) override;

 private:
  friend class FakeKvm;
  friend class FakeVm;
  friend class FakeVcpu;
  friend class FakeVgic;
  friend class FakeContainer;
  friend class FakeGroup;
  friend class FakeIommufd;
  friend class FakeDevice;
  friend class FakePagemap;
  friend class FakeVhost;
  friend class FakeGpioChip;

  // For the objects, with the lock held.
  int Install(int real_fd, std::unique_ptr<FakeObject> object);
  template <typename Object>
  Object* Find(int fd) {
    const auto found = objects_.find(fd);
    return found == objects_.end() ? nullptr : dynamic_cast<Object*>(found->second.get());
  }
  bool IsEventFd(int fd) { return eventfds_.contains(fd); }
  void Violation(std::string text) { violations_.push_back(std::move(text)); }
  // Whether all of it is mapped memory.
  bool IsMapped(std::uint64_t address, std::size_t length) const;
  template <typename Object>
  std::vector<Object*> All() {
    std::vector<Object*> found;
    for (auto& [fd, object] : objects_) {
      if (auto* match = dynamic_cast<Object*>(object.get())) found.push_back(match);
    }
    return found;
  }

  // Notes the call; true if it has to fail, with errno set.
  bool Fails(const std::string& call, bool counted = true);
  int OpenFake(const std::string& path);
  int OpenTap();
  void NoteEventFdClosing(int fd);
  void NoteUnmapping(std::uint64_t start, std::uint64_t end);
  void Forget(std::uint64_t start, std::uint64_t end);
  void* MapFile(void* address, std::size_t length, int flags, int fd, off_t offset);

  const std::thread::id owner_;
  mutable std::mutex mutex_;  // guards all below
  std::map<int, std::unique_ptr<FakeObject>> objects_;
  std::map<int, std::string> eventfds_;
  std::map<int, std::string> files_;
  std::set<int> hugetlb_files_;
  std::map<std::uint64_t, std::size_t> huge_pages_;  // mapped at: which page of its file
  std::map<std::uint64_t, std::pair<std::uint64_t, std::string>> mappings_;  // start: end, what
  std::map<unsigned, std::deque<std::vector<VcpuExit>>> scripts_;
  std::vector<std::string> log_;
  std::vector<std::string> vcpu_log_;
  std::vector<std::string> violations_;
  std::vector<std::uint64_t> mmio_reads_;
  unsigned aborts_ = 0;
  std::map<std::pair<unsigned, std::uint64_t>, std::uint64_t> registers_;
  std::vector<std::pair<std::uint32_t, bool>> irq_lines_;
  std::size_t calls_ = 0;
  std::size_t fail_at_ = 0;
  int fail_error_ = 0;
  std::string failed_call_;
  std::vector<std::pair<std::string, int>> fail_matching_;
};

}  // namespace microvm::fakes
