// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mapped_image.h"

#include <sys/mman.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "devices/virtio/guarded_copy.h"

namespace microvm {

std::optional<MappedImage> MappedImage::Of(const Fd& fd, std::uint64_t size_bytes) {
  if (std::cmp_less(::lseek(fd.get(), 0, SEEK_HOLE), size_bytes)) return std::nullopt;
  try {
    return MappedImage(fd, MemoryMapping::OfFileToRead(fd, size_bytes));
  } catch (const std::system_error&) {
    return std::nullopt;  // no room among the addresses, say: the file can be read all the same
  }
}

bool MappedImage::Read(std::uint64_t offset, std::span<const iovec> pieces) noexcept {
  used_ = true;
  if (!CopyGuarded(pieces, &mapping_.bytes()[offset])) return false;
  // Of the page that the file ends in, the rest reads as zeros.
  return std::cmp_greater_equal(::lseek(fd_->get(), 0, SEEK_END), mapping_.bytes().size());
}

bool MappedImage::DropIdle() noexcept {
  if (std::exchange(used_, false)) return false;
  ::madvise(mapping_.data(), mapping_.bytes().size(), MADV_DONTNEED);
  return true;
}

}  // namespace microvm
