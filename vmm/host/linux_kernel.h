// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "vmm/host/host_kernel.h"

namespace microvm {

// The real kernel: each method is the system call of its name.
class LinuxKernel : public HostKernel {
 public:
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
};

}  // namespace microvm
