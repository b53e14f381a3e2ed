// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/fd.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace microvm {

Fd OpenFd(HostKernel& kernel, const std::string& path, int flags) {
  const int raw = kernel.Open(path.c_str(), flags | O_CLOEXEC);
  if (raw < 0) ThrowErrno(("open " + path).c_str());
  return {kernel, raw};
}

Fd OpenDeviceFile(HostKernel& kernel, const std::string& path, const Error& no_permission,
                  const Error& absent) {
  try {
    return OpenFd(kernel, path, O_RDWR);
  } catch (const std::exception& error) {
    switch (ErrnoOf(error)) {
      case EMFILE:
      case ENFILE:
        throw;
      case EACCES:
      case EPERM:
        std::throw_with_nested(no_permission);
      default:
        std::throw_with_nested(absent);
    }
  }
}

int CheckedIoctl(const Fd& fd, IoctlCode code, void* argument) {
  const int result = fd.kernel().Ioctl(fd.get(), code.request, argument);
  if (result < 0) ThrowErrno(code.name);
  return result;
}

int CheckedIoctl(const Fd& fd, IoctlCode code, unsigned long argument) {
  // ioctl(2) takes small integers in the place of its pointer argument.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return CheckedIoctl(fd, code, reinterpret_cast<void*>(argument));
}

Fd MakeEventFd(HostKernel& kernel) {
  const int raw = kernel.EventFd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (raw < 0) ThrowErrno("eventfd");
  return {kernel, raw};
}

void SignalEventFd(const Fd& eventfd) noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(eventfd.get(), &one, sizeof(one));
}

bool DrainEventFd(const Fd& eventfd) noexcept {
  std::uint64_t count = 0;
  return ::read(eventfd.get(), &count, sizeof(count)) > 0;
}

}  // namespace microvm
