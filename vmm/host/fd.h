// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "vmm/host/error.h"
#include "vmm/host/host_kernel.h"

namespace microvm {

// Owns one file descriptor. `kernel` outlives it.
class Fd {
 public:
  Fd() = default;
  Fd(HostKernel& kernel, int raw) : kernel_(&kernel), raw_(raw) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd(Fd&& other) noexcept : kernel_(other.kernel_), raw_(std::exchange(other.raw_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(kernel_, other.kernel_);
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~Fd() {
    if (raw_ >= 0) kernel_->Close(raw_);
  }

  [[nodiscard]] int get() const { return raw_; }
  [[nodiscard]] HostKernel& kernel() const { return *kernel_; }
  explicit operator bool() const { return raw_ >= 0; }

 private:
  HostKernel* kernel_ = nullptr;
  int raw_ = -1;
};

// An ioctl's number with its name in the kernel's spelling, for errors. Made by IOCTL_CODE.
struct IoctlCode {
  unsigned long request;
  const char* name;
};
#define IOCTL_CODE(name) (::microvm::IoctlCode{name, #name})

// open(2) with O_CLOEXEC; throws a chain that names the path and the call.
Fd OpenFd(HostKernel& kernel, const std::string& path, int flags);

// Opens a device file such as /dev/kvm for reading and writing. Throws a chain with `no_permission`
// if this user may not, with `absent` if the host does not have it; a limit on open files stands
// for itself.
Fd OpenDeviceFile(HostKernel& kernel, const std::string& path, const Error& no_permission,
                  const Error& absent);

// The ioctl's non-negative result; throws std::system_error that names it.
int CheckedIoctl(const Fd& fd, IoctlCode code, void* argument);
int CheckedIoctl(const Fd& fd, IoctlCode code, unsigned long argument = 0);

// A non-blocking eventfd; throws std::system_error.
Fd MakeEventFd(HostKernel& kernel);

// Adds one to an eventfd of MakeEventFd; does not block, and fails only when it is signalled
// already.
void SignalEventFd(const Fd& eventfd) noexcept;

// Forgets what an eventfd of MakeEventFd was signalled; true if it was.
bool DrainEventFd(const Fd& eventfd) noexcept;

}  // namespace microvm
