// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <liburing.h>
#include <sys/uio.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "devices/virtio/disk_image.h"
#include "devices/virtio/mapped_image.h"

namespace microvm {

// One operation on a disk. Reads and writes have their bytes in pieces of memory.
struct DiskOperation {
  enum class Kind {
    kRead,
    kWrite,
    kFlush,      // what was written before outlives the host's power
    kPunchHole,  // the range reads as zero, and takes no room
    kZeroRange,  // the range reads as zero, and keeps its room
    kAllocate,   // the range has room
  };
  Kind kind;
  std::uint64_t offset = 0;
  std::uint64_t length_bytes = 0;
  bool durable = false;  // a write that is its own flush
};

// Does operations on a disk: at once, where the host has all that they need in memory, else with an
// io_uring of its own. No thread may call it while another does.
class DiskIo {
 public:
  // What a host may reasonably take for a request, a flush of much included.
  static constexpr std::chrono::milliseconds kPatience{10'000};

  // At most `operations` are in flight; `ended`, an eventfd, is signalled when one has ended. Both
  // outlive it. Throws a chain.
  DiskIo(const DiskImage& image, unsigned operations, const Fd& ended,
         std::chrono::milliseconds patience = kPatience);
  // Pieces in `memory` are fixed buffers from now on: the kernel does not look up and pin their
  // pages for each request. It pins all of them, so this is for memory that is locked anyway and
  // keeps its pages. Whether it does, as the limit on locked memory may not allow for it.
  bool FixBuffers(std::span<std::byte> memory);
  DiskIo(const DiskIo&) = delete;
  DiskIo& operator=(const DiskIo&) = delete;
  DiskIo(DiskIo&&) = delete;
  DiskIo& operator=(DiskIo&&) = delete;
  // Waits for what is in flight, unless that has been waited for in vain: the kernel writes to the
  // pieces until then. It holds their pages for as long as it does, though they be unmapped.
  ~DiskIo();

  // The operation's result, as the system call would have it (bytes, 0, or a negative errno); or
  // nothing: it ends later, under the name of `tag`. It is not under way before Submit.
  std::optional<std::int64_t> Start(const DiskOperation& operation, std::span<const iovec> pieces,
                                    std::uint32_t tag) noexcept;
  // What the kernel does not take, tried some times, ends with its error.
  void Submit() noexcept;

  struct Ended {
    std::uint32_t tag;
    std::int64_t result;
  };
  // One that has ended; with `wait`, waits for one if any is in flight, as long as its patience
  // lasts, and no more once that was in vain. Nothing: none has.
  std::optional<Ended> Next(bool wait) noexcept;

  [[nodiscard]] bool IsBusy() const noexcept { return in_flight_ > 0; }
  // Of an image that is mapped (MappedImage::DropIdle).
  bool DropIdle() noexcept { return !mapped_ || mapped_->DropIdle(); }
  // Has what is in flight end with an error as far as the kernel can: what waits in a queue, or for
  // an event. What a disk has been given, it does; what has ended, Next tells.
  void Cancel() noexcept;

 private:
  [[nodiscard]] std::optional<std::int64_t> TryNow(const DiskOperation& operation,
                                                   std::span<const iovec> pieces) noexcept;
  [[nodiscard]] bool FitsDirect(const DiskOperation& operation,
                                std::span<const iovec> pieces) const noexcept;
  [[nodiscard]] io_uring_sqe* TakeEntry(std::size_t pieces) noexcept;
  void Withdraw(int error) noexcept;
  [[nodiscard]] bool Await(io_uring_cqe** end) noexcept;
  [[nodiscard]] std::optional<int> FixedBuffer(const iovec& piece) const noexcept;
  void PrepareTransfer(io_uring_sqe& entry, const DiskOperation& operation,
                       std::span<const iovec> pieces) noexcept;

  const DiskImage& image_;
  std::optional<MappedImage> mapped_;
  const std::chrono::milliseconds patience_;
  io_uring ring_{};
  std::span<std::byte> fixed_;  // memory whose pages the kernel holds for requests
  unsigned in_flight_ = 0;
  bool tries_cache_ = true;     // the file system reads from its cache without waiting
  bool gave_up_ = false;        // what is in flight was waited for in vain
  std::vector<iovec> staged_;   // pieces of what has not been submitted; never grows
  std::vector<Ended> refused_;  // by the kernel, and not told yet; never grows
};

}  // namespace microvm
