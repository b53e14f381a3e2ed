// SPDX-License-Identifier: Apache-2.0
// The part of FakeKernel that is about memory, and what can be asked of it.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "tests/fakes/fake_kernel.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/fakes/fake_vfio.h"
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
  const std::string what = object == nullptr ? "memory" : object->name();
  if (Fails("mmap " + what)) return MAP_FAILED;
  void* result = MAP_FAILED;
  if (object != nullptr) {
    const int target = object->MapTarget(length, protection, flags, offset);
    if (target < 0) {
      errno = -target;
      return MAP_FAILED;
    }
    result = ::mmap(address, length, protection, MAP_SHARED, target, offset);
  } else if ((flags & MAP_ANONYMOUS) == 0 || ((flags & MAP_HUGETLB) != 0 && !host.huge_pages)) {
    errno = (flags & MAP_ANONYMOUS) == 0 ? EBADF : ENOMEM;
  } else {
    result = MapAnonymous(length, flags);
  }
  if (result != MAP_FAILED) {
    const auto start = reinterpret_cast<std::uint64_t>(result);
    mappings_[start] = {start + length, what};
  }
  return result;
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
  for (FakeContainer* container : All<FakeContainer>()) {
    for (const FakeDmaMapping& dma : container->dma()) {
      if (meets(dma.host, dma.size)) Violation("munmap of memory that devices may write to");
    }
  }
}

bool FakeKernel::IsMapped(std::uint64_t address, std::size_t length) const {
  return std::any_of(mappings_.begin(), mappings_.end(), [&](const auto& mapping) {
    return mapping.first <= address && address + length <= mapping.second.first;
  });
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
