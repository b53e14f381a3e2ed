// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace microvm {

// The system calls this program makes on devices, memory and threads, and nothing more. Return
// values are the kernel's own (-1 and errno; MAP_FAILED for Mmap), so that a fake needs no
// knowledge of our errors. Any thread may call any of them.
class HostKernel {
 public:
  HostKernel() = default;
  HostKernel(const HostKernel&) = delete;
  HostKernel& operator=(const HostKernel&) = delete;
  HostKernel(HostKernel&&) = delete;
  HostKernel& operator=(HostKernel&&) = delete;
  virtual ~HostKernel() = default;

  // With O_CREAT, a file that only its owner may read and write.
  virtual int Open(const char* path, int flags) = 0;
  virtual int Close(int fd) = 0;
  virtual int Ioctl(int fd, unsigned long request, void* argument) = 0;
  virtual void* Mmap(void* address, std::size_t length, int protection, int flags, int fd,
                     off_t offset) = 0;
  virtual int Munmap(void* address, std::size_t length) = 0;
  virtual int Madvise(void* address, std::size_t length, int advice) = 0;
  virtual int Mlock(const void* address, std::size_t length) = 0;
  virtual ssize_t Pread(int fd, void* buffer, std::size_t length, off_t offset) = 0;
  virtual ssize_t Pwrite(int fd, const void* buffer, std::size_t length, off_t offset) = 0;
  virtual int Fstat(int fd, struct stat* status) = 0;
  virtual int Fstatfs(int fd, struct statfs* status) = 0;
  virtual int Ftruncate(int fd, off_t length) = 0;
  virtual int Flock(int fd, int operation) = 0;
  virtual int Unlink(const char* path) = 0;
  // io_uring_setup for a ring of one entry, which does no I/O, and io_uring_register with
  // IORING_REGISTER_BUFFERS for it.
  virtual int IoUringSetup() = 0;
  virtual int IoUringRegisterBuffers(int fd, std::span<const iovec> buffers) = 0;
  virtual int EventFd(unsigned initial, int flags) = 0;
  // sched_setaffinity and sched_setscheduler for one thread of this process.
  virtual int SetAffinity(pid_t thread, std::span<const unsigned> cpus) = 0;
  virtual int SetScheduler(pid_t thread, int policy, int priority) = 0;
};

}  // namespace microvm
