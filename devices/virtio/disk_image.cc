// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/disk_image.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/file.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// What direct requests to files are aligned to at most, of all that file systems ask for.
constexpr std::uint32_t kLargestBlock = 4096;
constexpr std::uint32_t kSmallestBlock = 512;

[[noreturn]] void RefuseKind() {
  throw Error("it is neither a file nor a block device", "give 'path' one of them");
}

// Where that is known before, what is no disk is not opened: a FIFO would wait for its other end,
// and some devices do something.
int OpenFlags(const DiskOptions& options) {
  int flags = options.readonly ? O_RDONLY : O_RDWR;
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(options.path, error);
  const bool is_block = std::filesystem::is_block_file(status);
  if (std::filesystem::exists(status) && !is_block && !std::filesystem::is_regular_file(status)) {
    RefuseKind();
  }
  // Of a block device that is mounted, or another's, the kernel says so (EBUSY).
  if (!options.readonly && is_block) flags |= O_EXCL;
  return flags;
}

Fd OpenDisk(HostKernel& kernel, const DiskOptions& options, int flags) {
  try {
    return OpenFd(kernel, options.path, flags);
  } catch (const std::exception& error) {
    if (ErrnoOf(error) == EBUSY) {
      std::throw_with_nested(
          Error("the host uses it", "unmount it, or stop what has it: lsblk " + options.path));
    }
    std::throw_with_nested(
        Error("it cannot be opened",
              options.readonly
                  ? "give 'path' a file or a block device that this user may read"
                  : "give 'path' a file or a block device that this user may read and write, or "
                    "write readonly = true"));
  }
}

// Of the same file, whatever the path stands for by now.
Fd OpenDirect(HostKernel& kernel, const Fd& fd, int flags) {
  return WithContext(
      Error("it cannot be used past the page cache",
            "remove 'direct' if its file system has no O_DIRECT (tmpfs of older kernels)"),
      [&] {
        return OpenFd(kernel, "/proc/self/fd/" + std::to_string(fd.get()),
                      (flags & ~O_EXCL) | O_DIRECT);
      });
}

}  // namespace

DiskImage::DiskImage(HostKernel& kernel, const DiskOptions& options) : readonly_(options.readonly) {
  WithContext(Error("disk " + options.path), [&] {
    const int flags = OpenFlags(options);
    fd_ = OpenDisk(kernel, options, flags);
    Lock(kernel);
    // Reads do not write to the file's inode, where this user may say so (its owner, or root).
    static_cast<void>(::fcntl(fd_.get(), F_SETFL, O_NOATIME));
    struct stat status {};
    if (kernel.Fstat(fd_.get(), &status) != 0) ThrowErrno("fstat");
    if (S_ISREG(status.st_mode)) {
      MeasureFile(kernel, static_cast<std::uint64_t>(status.st_size),
                  static_cast<std::uint32_t>(status.st_blksize));
    } else if (S_ISBLK(status.st_mode)) {
      MeasureDevice();
    } else {
      RefuseKind();
    }
    if (size_bytes_ == 0) {
      throw Error("it is empty", "give it its size: truncate -s 1G " + options.path);
    }
    if (options.direct) direct_fd_ = OpenDirect(kernel, fd_, flags);
  });
}

void DiskImage::Lock(HostKernel& kernel) {
  if (kernel.Flock(fd_.get(), (readonly_ ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return;
  if (errno == ENOSYS) return;  // a kernel without CONFIG_FILE_LOCKING: nobody can have the lock
  if (errno != EWOULDBLOCK) ThrowErrno("flock");
  throw Error(readonly_ ? "another process, or another of the machine's disks, writes to it"
                        : "another process, or another of the machine's disks, has it",
              "a disk has one machine that writes to it, or any number that read: stop the other "
              "machine, or give each a copy");
}

void DiskImage::MeasureFile(HostKernel& kernel, std::uint64_t size_bytes,
                            std::uint32_t block_bytes) {
  is_file_ = true;
  size_bytes_ = size_bytes / kSmallestBlock * kSmallestBlock;
  // A file's disk is the same wherever the file is: sectors of 512 bytes.
  physical_block_bytes_ = std::clamp(std::bit_floor(block_bytes), kSmallestBlock, kLargestBlock);
  direct_alignment_ = kLargestBlock;
  struct statfs file_system {};
  if (kernel.Fstatfs(fd_.get(), &file_system) != 0) ThrowErrno("fstatfs");
  in_memory_ = std::cmp_equal(file_system.f_type, TMPFS_MAGIC) ||
               std::cmp_equal(file_system.f_type, RAMFS_MAGIC);
}

void DiskImage::MeasureDevice() {
  std::uint64_t size_bytes = 0;
  int block_bytes = 0;
  unsigned physical_bytes = 0;
  CheckedIoctl(fd_, IOCTL_CODE(BLKGETSIZE64), &size_bytes);
  CheckedIoctl(fd_, IOCTL_CODE(BLKSSZGET), &block_bytes);
  CheckedIoctl(fd_, IOCTL_CODE(BLKPBSZGET), &physical_bytes);
  block_bytes_ = std::max(static_cast<std::uint32_t>(block_bytes), kSmallestBlock);
  physical_block_bytes_ = std::max(std::bit_floor(physical_bytes), block_bytes_);
  direct_alignment_ = block_bytes_;
  size_bytes_ = size_bytes / block_bytes_ * block_bytes_;
}

bool DiskImage::IsWhole() const noexcept {
  if (!is_file_) return true;
  struct stat status {};
  return fd_.kernel().Fstat(fd_.get(), &status) == 0 &&
         std::cmp_greater_equal(status.st_size, size_bytes_);
}

}  // namespace microvm
