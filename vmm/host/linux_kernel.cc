// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/linux_kernel.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace microvm {

int LinuxKernel::Open(const char* path, int flags) { return ::open(path, flags | O_CLOEXEC, 0600); }

int LinuxKernel::Close(int fd) { return ::close(fd); }

int LinuxKernel::Ioctl(int fd, unsigned long request, void* argument) {
  return ::ioctl(fd, request, argument);
}

void* LinuxKernel::Mmap(void* address, std::size_t length, int protection, int flags, int fd,
                        off_t offset) {
  return ::mmap(address, length, protection, flags, fd, offset);
}

int LinuxKernel::Munmap(void* address, std::size_t length) { return ::munmap(address, length); }

int LinuxKernel::Madvise(void* address, std::size_t length, int advice) {
  return ::madvise(address, length, advice);
}

int LinuxKernel::Mlock(const void* address, std::size_t length) { return ::mlock(address, length); }

ssize_t LinuxKernel::Pread(int fd, void* buffer, std::size_t length, off_t offset) {
  return ::pread(fd, buffer, length, offset);
}

ssize_t LinuxKernel::Pwrite(int fd, const void* buffer, std::size_t length, off_t offset) {
  return ::pwrite(fd, buffer, length, offset);
}

int LinuxKernel::Fstat(int fd, struct stat* status) { return ::fstat(fd, status); }

int LinuxKernel::Fstatfs(int fd, struct statfs* status) { return ::fstatfs(fd, status); }

int LinuxKernel::Ftruncate(int fd, off_t length) { return ::ftruncate(fd, length); }

int LinuxKernel::Flock(int fd, int operation) { return ::flock(fd, operation); }

int LinuxKernel::Unlink(const char* path) { return ::unlink(path); }

int LinuxKernel::IoUringSetup() {
  io_uring_params parameters{};
  return static_cast<int>(::syscall(SYS_io_uring_setup, 1, &parameters));
}

int LinuxKernel::IoUringRegisterBuffers(int fd, std::span<const iovec> buffers) {
  return static_cast<int>(::syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS,
                                    buffers.data(), buffers.size()));
}

int LinuxKernel::EventFd(unsigned initial, int flags) { return ::eventfd(initial, flags); }

int LinuxKernel::SetAffinity(pid_t thread, std::span<const unsigned> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const unsigned cpu : cpus) {
    if (cpu >= CPU_SETSIZE) {
      errno = EINVAL;
      return -1;
    }
    CPU_SET(cpu, &set);
  }
  return ::sched_setaffinity(thread, sizeof(set), &set);
}

int LinuxKernel::SetScheduler(pid_t thread, int policy, int priority) {
  sched_param parameters{};
  parameters.sched_priority = priority;
  return ::sched_setscheduler(thread, policy, &parameters);
}

}  // namespace microvm
