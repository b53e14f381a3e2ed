// SPDX-License-Identifier: Apache-2.0
// The part of FakeKernel that is about memory, and what can be asked of it.
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "tests/fakes/fake_kernel.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/fakes/fake_vfio.h"
#include "tests/fakes/fake_vhost.h"
#include "vmm/host/error.h"

namespace microvm::fakes {
namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// Anonymous memory; aligned as huge pages are, without needing any.
void* MapAnonymous(std::size_t length, int flags) {
  if ((flags & MAP_HUGETLB) == 0) {
    return ::mmap(nullptr, length, PROT_READ | PROT_WRITE, flags, -1, 0);
  }
  auto* start =
      static_cast<std::byte*>(::mmap(nullptr, length + kHugePageBytes, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const std::size_t past = reinterpret_cast<std::uintptr_t>(start) % kHugePageBytes;
  const std::size_t head = past == 0 ? 0 : kHugePageBytes - past;
  if (head > 0) ::munmap(start, head);
  ::munmap(start + head + length, kHugePageBytes - head);
  return start + head;
}

std::string AdviceName(int advice) {
  if (advice == MADV_HUGEPAGE) return "madvise hugepage";
  if (advice == MADV_DONTNEED) return "madvise dontneed";
  return "madvise " + std::to_string(advice);
}

}  // namespace

void* FakeKernel::Mmap(void* address, std::size_t length, int protection, int flags, int fd,
                       off_t offset) {
  const std::scoped_lock lock(mutex_);
  FakeObject* object = fd < 0 ? nullptr : Find<FakeObject>(fd);
  const bool file = object == nullptr && files_.contains(fd);
  const std::string what = object != nullptr ? object->name() : file ? files_[fd] : "memory";
  if (Fails("mmap " + what)) return MAP_FAILED;
  void* result = MAP_FAILED;
  if (object != nullptr) {
    const int target = object->MapTarget(length, protection, flags, offset);
    if (target < 0) {
      errno = -target;
      return MAP_FAILED;
    }
    result = ::mmap(address, length, protection, MAP_SHARED, target, offset);
  } else if (file) {
    result = MapFile(address, length, flags, fd, offset);
  } else if ((flags & MAP_ANONYMOUS) == 0 || ((flags & MAP_HUGETLB) != 0 && !host.huge_pages)) {
    errno = (flags & MAP_ANONYMOUS) == 0 ? EBADF : ENOMEM;
  } else {
    result = MapAnonymous(length, flags);
  }
  if (result != MAP_FAILED) {
    const auto start = reinterpret_cast<std::uint64_t>(result);
    Forget(start, start + length);
    mappings_[start] = {start + length, what};
    if (hugetlb_files_.contains(fd)) {
      for (std::size_t at = 0; at < length; at += host.hugetlbfs_page_bytes) {
        huge_pages_[start + at] =
            (static_cast<std::size_t>(offset) + at) / host.hugetlbfs_page_bytes;
      }
    }
  }
  return result;
}

void* FakeKernel::MapFile(void* address, std::size_t length, int flags, int fd, off_t offset) {
  const auto start = reinterpret_cast<std::uint64_t>(address);
  if ((flags & MAP_FIXED) != 0 && !IsMapped(start, length)) {
    Violation("mmap at a fixed address that is not ours");
  }
  if (hugetlb_files_.contains(fd) && !host.huge_pages) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return ::mmap(address, length, PROT_READ | PROT_WRITE, flags, fd, offset);
}

int FakeKernel::Fstatfs(int fd, struct statfs* status) {
  const std::scoped_lock lock(mutex_);
  if (Fails("fstatfs")) return -1;
  if (::fstatfs(fd, status) != 0) return -1;
  if (hugetlb_files_.contains(fd) || files_[fd] == "file hugepages") {
    status->f_type = HUGETLBFS_MAGIC;
    status->f_bsize = static_cast<decltype(status->f_bsize)>(host.hugetlbfs_page_bytes);
  }
  return 0;
}

int FakeKernel::Ftruncate(int fd, off_t length) {
  const std::scoped_lock lock(mutex_);
  return Fails("ftruncate") ? -1 : ::ftruncate(fd, length);
}

int FakeKernel::Flock(int fd, int operation) {
  const std::scoped_lock lock(mutex_);
  return Fails("flock") ? -1 : ::flock(fd, operation);
}

int FakeKernel::Unlink(const char* path) {
  const std::scoped_lock lock(mutex_);
  const std::string text = path;
  return Fails("unlink " + text.substr(text.rfind('/') + 1)) ? -1 : ::unlink(path);
}

int FakeKernel::IoUringSetup() {
  const std::scoped_lock lock(mutex_);
  if (Fails("io_uring_setup")) return -1;
  return Install(MakeMemoryFd(0), std::make_unique<FakeRing>());
}

int FakeKernel::IoUringRegisterBuffers(int fd, std::span<const iovec> buffers) {
  const std::scoped_lock lock(mutex_);
  if (Fails("io_uring_register")) return -1;
  if (Find<FakeRing>(fd) == nullptr) Violation("io_uring_register without a ring");
  for (const iovec& buffer : buffers) {
    if (!IsMapped(reinterpret_cast<std::uint64_t>(buffer.iov_base), buffer.iov_len)) {
      errno = EFAULT;
      return -1;
    }
  }
  if (host.may_lock) return 0;
  errno = ENOMEM;
  return -1;
}

ssize_t FakePagemap::Pread(void* buffer, std::size_t length, off_t offset) {
  constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
  if (length != sizeof(std::uint64_t)) return -EINVAL;
  kernel_.host.on_pagemap();
  const auto small_page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const auto found =
      kernel_.huge_pages_.find(static_cast<std::uint64_t>(offset) / length * small_page);
  std::uint64_t entry = 0;
  if (found != kernel_.huge_pages_.end()) {
    entry = kPresent;
    if (kernel_.host.sees_addresses) {
      entry |= kernel_.host.huge_page_addresses.at(found->second) / small_page;
    }
  }
  CopyOut(buffer, entry);
  return sizeof(entry);
}

int FakeKernel::Munmap(void* address, std::size_t length) {
  const std::scoped_lock lock(mutex_);
  Fails("munmap", false);
  const auto start = reinterpret_cast<std::uint64_t>(address);
  if (!IsMapped(start, length)) Violation("munmap of what is not mapped");
  NoteUnmapping(start, start + length);
  Forget(start, start + length);
  return ::munmap(address, length);
}

void FakeKernel::Forget(std::uint64_t start, std::uint64_t end) {
  std::map<std::uint64_t, std::pair<std::uint64_t, std::string>> left;
  for (const auto& [first, mapping] : mappings_) {
    const auto& [last, what] = mapping;
    if (last <= start || first >= end) {
      left[first] = mapping;
      continue;
    }
    if (first < start) left[first] = {start, what};
    if (last > end) left[end] = {last, what};
  }
  mappings_ = std::move(left);
  huge_pages_.erase(huge_pages_.lower_bound(start), huge_pages_.lower_bound(end));
}

void FakeKernel::NoteUnmapping(std::uint64_t start, std::uint64_t end) {
  const auto meets = [&](std::uint64_t address, std::uint64_t length) {
    return address < end && start < address + length;
  };
  for (FakeVm* vm : All<FakeVm>()) {
    for (const FakeMemslot& slot : vm->memslots()) {
      if (meets(slot.host, slot.size)) Violation("munmap before the vm that uses it is closed");
    }
  }
  for (FakeVhost* vhost : All<FakeVhost>()) {
    if (vhost->Uses(start, end)) Violation("munmap of memory that vhost may write to");
  }
  for (FakeContainer* container : All<FakeContainer>()) {
    for (const FakeDmaMapping& dma : container->dma()) {
      if (meets(dma.host, dma.size)) Violation("munmap of memory that devices may write to");
    }
  }
}

bool FakeKernel::IsMapped(std::uint64_t address, std::size_t length) const {
  const std::uint64_t end = address + length;
  for (std::uint64_t at = address; at < end;) {
    const auto next = mappings_.upper_bound(at);
    if (next == mappings_.begin() || std::prev(next)->second.first <= at) return false;
    at = std::prev(next)->second.first;
  }
  return true;
}

int FakeKernel::Madvise(void* address, std::size_t length, int advice) {
  const std::scoped_lock lock(mutex_);
  if (Fails(AdviceName(advice))) return -1;
  const auto start = reinterpret_cast<std::uint64_t>(address);
  if (!IsMapped(start, length)) Violation("madvise of what is not mapped");
  if (advice == MADV_DONTNEED) {
    for (FakeContainer* container : All<FakeContainer>()) {
      if (!container->dma().empty()) Violation("dropped pages that a device may write to");
    }
  }
  return ::madvise(address, length, advice);
}

int FakeKernel::Mlock(const void* address, std::size_t length) {
  const std::scoped_lock lock(mutex_);
  if (Fails("mlock")) return -1;
  if (!IsMapped(reinterpret_cast<std::uint64_t>(address), length)) {
    Violation("mlock of what is not mapped");
  }
  if (host.may_lock) return 0;
  errno = ENOMEM;
  return -1;
}

std::vector<std::string> FakeKernel::Live() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> live;
  for (const auto& [fd, object] : objects_) {
    live.push_back(object->name());
    const auto* vm = dynamic_cast<const FakeVm*>(object.get());
    if (vm == nullptr) continue;
    for (const FakeIrqfd& irqfd : vm->irqfds()) {
      live.push_back("irqfd " + std::to_string(irqfd.spi));
    }
    for (const FakeMemslot& slot : vm->memslots()) live.push_back("memslot " + Hex(slot.guest));
  }
  for (const auto& [fd, name] : eventfds_) live.push_back(name);
  for (const auto& [fd, name] : files_) live.push_back(name);
  for (const auto& [start, mapping] : mappings_) live.push_back("mapping of " + mapping.second);
  return live;
}

std::byte* FakeKernel::GuestRam() {
  const std::scoped_lock lock(mutex_);
  for (FakeVm* vm : All<FakeVm>()) {
    if (!vm->memslots().empty()) return reinterpret_cast<std::byte*>(vm->memslots().front().host);
  }
  return nullptr;
}

std::vector<std::array<std::uint64_t, 3>> FakeKernel::DmaMappings() {
  const std::scoped_lock lock(mutex_);
  std::vector<std::array<std::uint64_t, 3>> mappings;
  const auto add = [&](const std::vector<FakeDmaMapping>& found) {
    for (const FakeDmaMapping& dma : found) mappings.push_back({dma.iova, dma.size, dma.host});
  };
  for (const FakeContainer* container : All<FakeContainer>()) add(container->dma());
  for (const FakeIommufd* iommufd : All<FakeIommufd>()) add(iommufd->dma());
  return mappings;
}

std::string FakeKernel::failed_call() const {
  const std::scoped_lock lock(mutex_);
  return failed_call_;
}

std::size_t FakeKernel::calls() const {
  const std::scoped_lock lock(mutex_);
  return calls_;
}

std::vector<std::string> FakeKernel::log() const {
  const std::scoped_lock lock(mutex_);
  return log_;
}

std::vector<std::string> FakeKernel::vcpu_log() const {
  const std::scoped_lock lock(mutex_);
  return vcpu_log_;
}

void FakeKernel::ClearLog() {
  const std::scoped_lock lock(mutex_);
  log_.clear();
  vcpu_log_.clear();
}

std::vector<std::string> FakeKernel::violations() const {
  const std::scoped_lock lock(mutex_);
  return violations_;
}

std::vector<std::uint64_t> FakeKernel::mmio_reads() const {
  const std::scoped_lock lock(mutex_);
  return mmio_reads_;
}

unsigned FakeKernel::aborts() const {
  const std::scoped_lock lock(mutex_);
  return aborts_;
}

std::map<std::pair<unsigned, std::uint64_t>, std::uint64_t> FakeKernel::registers() const {
  const std::scoped_lock lock(mutex_);
  return registers_;
}

std::vector<std::pair<std::uint32_t, bool>> FakeKernel::irq_lines() const {
  const std::scoped_lock lock(mutex_);
  return irq_lines_;
}

}  // namespace microvm::fakes
