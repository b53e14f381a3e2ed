// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_kernel.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "tests/fakes/fake_gpio.h"
#include "tests/fakes/fake_kvm.h"
#include "tests/fakes/fake_tap.h"
#include "tests/fakes/fake_vfio.h"
#include "tests/fakes/fake_vhost.h"
#include "vmm/host/error.h"

namespace microvm::fakes {
namespace {

// errno for a negative result, as system calls give it.
template <typename Result>
Result FromKernel(Result result) {
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

FakeKernel::FakeKernel() : owner_(std::this_thread::get_id()) {}

FakeKernel::~FakeKernel() {
  for (const auto& [fd, name] : eventfds_) ::close(fd);
  for (const auto& [fd, name] : files_) ::close(fd);
  for (const auto& [fd, object] : objects_) ::close(fd);
  for (const auto& [start, mapping] : mappings_) {
    ::munmap(reinterpret_cast<void*>(start), mapping.first - start);
  }
}

void FakeKernel::Script(unsigned id, std::vector<VcpuExit> exits) {
  const std::scoped_lock lock(mutex_);
  scripts_[id].push_back(std::move(exits));
}

void FakeKernel::FailCall(std::size_t n, int error) {
  const std::scoped_lock lock(mutex_);
  fail_at_ = calls_ + n;
  fail_error_ = error;
  failed_call_.clear();
}

void FakeKernel::FailMatching(const std::string& prefix, int error) {
  const std::scoped_lock lock(mutex_);
  fail_matching_.emplace_back(prefix, error);
}

bool FakeKernel::Fails(const std::string& call, bool counted) {
  if (std::this_thread::get_id() != owner_) {
    if (call != "KVM_RUN") vcpu_log_.push_back(call);
    counted = false;
  } else {
    log_.push_back(call);
  }
  if (counted && ++calls_ == fail_at_) {
    failed_call_ = call;
    errno = fail_error_;
    return true;
  }
  const auto match = std::find_if(fail_matching_.begin(), fail_matching_.end(),
                                  [&](const auto& entry) { return call.starts_with(entry.first); });
  if (match == fail_matching_.end()) return false;
  errno = match->second;
  return true;
}

int FakeKernel::Install(int real_fd, std::unique_ptr<FakeObject> object) {
  objects_[real_fd] = std::move(object);
  return real_fd;
}

int FakeKernel::OpenTap() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return -1;
  return Install(ends[0], std::make_unique<FakeTap>(ends[1]));
}

int FakeKernel::TapHost() {
  const std::scoped_lock lock(mutex_);
  const std::vector<FakeTap*> taps = All<FakeTap>();
  return taps.empty() ? -1 : taps.front()->host();
}

int FakeKernel::OpenFake(const std::string& path) {
  if (path == "/dev/net/tun") return OpenTap();
  const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  long error = 0;
  if (path == "/proc/self/pagemap") {
    return Install(number, std::make_unique<FakePagemap>(*this));
  }
  if (path.ends_with("/dev/kvm")) {
    error = host.kvm_error;
    if (error == 0) return Install(number, std::make_unique<FakeKvm>(*this));
  } else if (path.ends_with("/dev/vfio/vfio")) {
    error = host.vfio_error;
    if (error == 0) return Install(number, std::make_unique<FakeContainer>(*this));
  } else if (path.ends_with("/dev/iommu")) {
    error = host.iommufd_error;
    if (error == 0) return Install(number, std::make_unique<FakeIommufd>(*this));
  } else if (path.find("/dev/vhost-") != std::string::npos) {
    error = host.vhost_error;
    if (error == 0) return Install(number, std::make_unique<FakeVhost>(*this, BaseName(path)));
  } else if (path.find("/dev/gpiochip") != std::string::npos) {
    error = host.gpio_error == 0 ? -ENOENT : -host.gpio_error;
    for (FakeGpioChipSpec& chip : host.gpio_chips) {
      if (host.gpio_error != 0 || chip.name != BaseName(path)) continue;
      return Install(number, std::make_unique<FakeGpioChip>(*this, chip));
    }
    error = -error;
  } else if (path.find("/dev/vfio/devices/vfio") != std::string::npos) {
    auto device = FakeDevice::OpenCdev(*this, std::stoul(BaseName(path).substr(4)), error);
    if (error == 0) return Install(number, std::move(device));
  } else {
    const std::string name = BaseName(path);
    const bool no_iommu = name.starts_with("noiommu-");
    auto group =
        FakeGroup::Open(*this, std::stoul(no_iommu ? name.substr(8) : name), no_iommu, error);
    if (error == 0) return Install(number, std::move(group));
    error = -error;
  }
  ::close(number);
  return FromKernel(static_cast<int>(-error));
}

void FakeKernel::PullGpio(std::size_t chip, std::size_t line, bool high) {
  const std::scoped_lock lock(mutex_);
  FakeGpioLineSpec& spec = host.gpio_chips.at(chip).lines.at(line);
  if (spec.output || spec.high == high) return;
  spec.high = high;
  for (FakeGpioLine* requested : All<FakeGpioLine>()) {
    if (requested->Is(spec)) requested->Notify(high);
  }
}

FakeGpioLineSpec FakeKernel::gpio_line(std::size_t chip, std::size_t line) const {
  const std::scoped_lock lock(mutex_);
  return host.gpio_chips.at(chip).lines.at(line);
}

int FakeKernel::Open(const char* path, int flags) {
  const std::scoped_lock lock(mutex_);
  const std::string text = path;
  const bool is_fake = text.ends_with("/dev/kvm") || text.ends_with("/dev/iommu") ||
                       text.find("/dev/vhost-") != std::string::npos || text == "/dev/net/tun" ||
                       text.find("/dev/gpiochip") != std::string::npos ||
                       text.find("/dev/vfio/") != std::string::npos || text == "/proc/self/pagemap";
  const std::size_t device = text.rfind("/dev/");
  const bool short_name = !is_fake || device == std::string::npos;
  if (Fails("open " + (short_name ? BaseName(text) : text.substr(device)))) return -1;
  if (is_fake) {
    if ((flags & O_ACCMODE) != O_RDWR && device != std::string::npos)
      Violation("open " + text + " not for reading and writing");
    return OpenFake(text);
  }
  const int fd =
      ::open(path, flags | O_CLOEXEC, 0600);  // NOLINT(cppcoreguidelines-pro-type-vararg)
  if (fd < 0) return fd;
  files_[fd] = "file " + BaseName(text);
  if (text.find("/hugepages/") != std::string::npos) hugetlb_files_.insert(fd);
  return fd;
}

int FakeKernel::Close(int fd) {
  const std::scoped_lock lock(mutex_);
  if (const auto object = objects_.find(fd); object != objects_.end()) {
    Fails("close " + object->second->name(), false);
    object->second->Closing();
    objects_.erase(object);
  } else if (eventfds_.contains(fd)) {
    Fails("close eventfd", false);
    NoteEventFdClosing(fd);
    eventfds_.erase(fd);
  } else if (files_.contains(fd)) {
    Fails("close " + files_[fd], false);
    files_.erase(fd);
    hugetlb_files_.erase(fd);
  } else {
    Violation("close of a descriptor that is not open: " + std::to_string(fd));
    errno = EBADF;
    return -1;
  }
  return ::close(fd);
}

void FakeKernel::NoteEventFdClosing(int fd) {
  for (FakeVm* vm : All<FakeVm>()) {
    for (const FakeIrqfd& irqfd : vm->irqfds()) {
      if (irqfd.trigger == fd || irqfd.resample == fd) {
        Violation("eventfd closed before irqfd " + std::to_string(irqfd.spi));
      }
    }
    for (const FakeIoeventfd& ioeventfd : vm->ioeventfds()) {
      if (ioeventfd.eventfd == fd) Violation("eventfd closed before its ioeventfd");
    }
  }
  for (FakeVhost* vhost : All<FakeVhost>()) {
    if (vhost->Signals(fd)) Violation("eventfd closed before vhost let go of it");
  }
  for (FakeDevice* device : All<FakeDevice>()) {
    if (device->Uses(fd)) Violation("eventfd closed before " + device->name() + " let go of it");
  }
}

int FakeKernel::Ioctl(int fd, unsigned long request, void* argument) {
  const std::string call = DescribeIoctl(request, argument);
  FakeVcpu* vcpu = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    if (Fails(call)) return -1;
    const auto object = objects_.find(fd);
    if (object == objects_.end()) {
      Violation(call + " on a descriptor that is not open");
      errno = EBADF;
      return -1;
    }
    vcpu = dynamic_cast<FakeVcpu*>(object->second.get());
    if (vcpu == nullptr || request != KVM_RUN) {
      return static_cast<int>(FromKernel(object->second->Ioctl(request, argument)));
    }
  }
  return FromKernel(-vcpu->Run());  // without the lock: it may block
}

VhostState FakeKernel::Vhost(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  for (const FakeVhost* vhost : All<FakeVhost>()) {
    if (vhost->name() == name) return vhost->state();
  }
  return {};
}

ssize_t FakeKernel::Pread(int fd, void* buffer, std::size_t length, off_t offset) {
  const std::scoped_lock lock(mutex_);
  if (Fails("pread")) return -1;
  if (auto* object = Find<FakeObject>(fd)) {
    return FromKernel(object->Pread(buffer, length, offset));
  }
  return ::pread(fd, buffer, length, offset);
}

ssize_t FakeKernel::Pwrite(int fd, const void* buffer, std::size_t length, off_t offset) {
  const std::scoped_lock lock(mutex_);
  if (Fails("pwrite")) return -1;
  if (auto* object = Find<FakeObject>(fd)) {
    return FromKernel(object->Pwrite(buffer, length, offset));
  }
  return ::pwrite(fd, buffer, length, offset);
}

int FakeKernel::Fstat(int fd, struct stat* status) {
  const std::scoped_lock lock(mutex_);
  if (Fails("fstat")) return -1;
  return ::fstat(fd, status);
}

int FakeKernel::EventFd(unsigned initial, int flags) {
  const std::scoped_lock lock(mutex_);
  if (Fails("eventfd")) return -1;
  const int fd = ::eventfd(initial, flags);
  if (fd >= 0) eventfds_[fd] = "eventfd";
  return fd;
}

int FakeKernel::SetAffinity(pid_t thread, std::span<const unsigned> cpus) {
  const std::scoped_lock lock(mutex_);
  std::string list;
  for (const unsigned cpu : cpus) list += " " + std::to_string(cpu);
  if (Fails("sched_setaffinity" + list)) return -1;
  const bool known = thread > 0 && std::any_of(cpus.begin(), cpus.end(),
                                               [&](unsigned cpu) { return cpu < host.cpus; });
  return FromKernel(known ? 0 : -EINVAL);
}

int FakeKernel::SetScheduler(pid_t thread, int policy, int priority) {
  const std::scoped_lock lock(mutex_);
  if (Fails("sched_setscheduler " + std::to_string(policy) + " " + std::to_string(priority))) {
    return -1;
  }
  if (!host.may_schedule) return FromKernel(-EPERM);
  const bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;
  const bool valid = thread > 0 && (real_time ? priority >= 1 && priority <= 99 : priority == 0);
  return FromKernel(valid ? 0 : -EINVAL);
}

}  // namespace microvm::fakes
