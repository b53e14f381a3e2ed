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

int OpenFlags(const DiskOptions& options) {
  int flags = options.readonly ? O_RDONLY : O_RDWR;
  std::error_code error;
  // Of a block device that is mounted, or another's, the kernel says so (EBUSY).
  if (!options.readonly && std::filesystem::is_block_file(options.path, error)) flags |= O_EXCL;
  return flags;
}

}  // namespace

DiskImage::DiskImage(HostKernel& kernel, const DiskOptions& options) : readonly_(options.readonly) {
  const std::string remedy =
      options.readonly
          ? "give 'path' a file or a block device that this user may read"
          : "give 'path' a file or a block device that this user may read and write, or "
            "write readonly = true";
  WithContext(Error("disk " + options.path, remedy), [&] {
    const int flags = OpenFlags(options);
    fd_ = OpenFd(kernel, options.path, flags);
    Lock(kernel);
    struct stat status {};
    if (kernel.Fstat(fd_.get(), &status) != 0) ThrowErrno("fstat");
    if (S_ISREG(status.st_mode)) {
      MeasureFile(kernel, static_cast<std::uint64_t>(status.st_size),
                  static_cast<std::uint32_t>(status.st_blksize));
    } else if (S_ISBLK(status.st_mode)) {
      MeasureDevice();
    } else {
      throw Error("it is neither a file nor a block device");
    }
    if (size_bytes_ == 0) {
      throw Error("it is empty", "give it its size: truncate -s 1G " + options.path);
    }
    // Of the same file, whatever the path stands for by now.
    const std::string same = "/proc/self/fd/" + std::to_string(fd_.get());
    if (options.direct) direct_fd_ = OpenFd(kernel, same, (flags & ~O_EXCL) | O_DIRECT);
  });
}

void DiskImage::Lock(HostKernel& kernel) {
  if (kernel.Flock(fd_.get(), (readonly_ ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) ThrowErrno("flock");
  throw Error(readonly_ ? "another process writes to it" : "another process has it",
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
