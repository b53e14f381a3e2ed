// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/disk_io.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <utility>

#include "devices/virtio/descriptor_chain.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

using Kind = DiskOperation::Kind;

constexpr unsigned kSubmissionEntries = 64;
constexpr std::size_t kStagedPieces = 4 * DescriptorChain::kMaximumPieces;
// How often a submission of which the kernel takes nothing is tried (EAGAIN: it has no memory at
// the moment; EINTR; EBUSY).
constexpr unsigned kTries = 8;

// The ring's names for the descriptors.
constexpr int kPlainFile = 0;
constexpr int kDirectFile = 1;

// The most that one fixed buffer may have (io_uring/rsrc.c: io_buffer_validate).
constexpr std::size_t kFixedBufferBytes = 1U << 30;

bool IsTransfer(Kind kind) { return kind == Kind::kRead || kind == Kind::kWrite; }

int FallocateMode(Kind kind) {
  switch (kind) {
    case Kind::kPunchHole:
      return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    case Kind::kZeroRange:
      return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    default:
      return FALLOC_FL_KEEP_SIZE;
  }
}

std::int64_t ResultOf(std::int64_t returned) { return returned < 0 ? -errno : returned; }

// Without the C library's wrappers: they make each call a place where the thread may be cancelled.
std::int64_t TransferNow(int fd, Kind kind, std::span<const iovec> pieces, off_t offset) {
  const bool is_read = kind == Kind::kRead;
  if (pieces.size() == 1) {
    const auto [base, length] = pieces.front();
    return ResultOf(::syscall(is_read ? SYS_pread64 : SYS_pwrite64, fd, base, length, offset));
  }
  return ResultOf(
      ::syscall(is_read ? SYS_preadv : SYS_pwritev, fd, pieces.data(), pieces.size(), offset, 0));
}

void Check(int result, const char* call) {
  if (result < 0) ThrowErrno(-result, call);
}

}  // namespace

DiskIo::DiskIo(const DiskImage& image, unsigned operations, const Fd& ended,
               std::chrono::milliseconds patience)
    : image_(image), patience_(patience) {
  const Error context("the kernel gives the disk no io_uring",
                      "sysctl kernel.io_uring_disabled=0; ENOMEM: raise the limit on locked memory "
                      "(ulimit -l unlimited)");
  WithContext(context, [&] {
    io_uring_params parameters{};
    // Room for all ends: none has to wait for another to be taken.
    parameters.flags = IORING_SETUP_CQSIZE;
    parameters.cq_entries = std::bit_ceil(std::max(operations, kSubmissionEntries));
    Check(io_uring_queue_init_params(kSubmissionEntries, &ring_, &parameters), "io_uring_setup");
    try {
      const std::array<int, 2> files = {image.fd().get(), image.direct_fd().get()};
      Check(io_uring_register_files(&ring_, files.data(), image.direct_fd() ? 2 : 1),
            "io_uring_register (files)");
      Check(io_uring_register_eventfd(&ring_, ended.get()), "io_uring_register (eventfd)");
    } catch (...) {
      io_uring_queue_exit(&ring_);
      throw;
    }
  });
  staged_.reserve(kStagedPieces);
  refused_.reserve(operations);
  if (image.in_memory()) mapped_ = MappedImage::Of(image.fd(), image.size_bytes());
}

bool DiskIo::FixBuffers(std::span<std::byte> memory) {
  std::vector<iovec> buffers;
  buffers.reserve(memory.size() / kFixedBufferBytes + 1);
  for (std::span<std::byte> rest = memory; !rest.empty();) {
    const std::size_t length = std::min(rest.size(), kFixedBufferBytes);
    buffers.push_back({rest.data(), length});
    rest = rest.subspan(length);
  }
  const auto count = static_cast<unsigned>(buffers.size());
  if (io_uring_register_buffers(&ring_, buffers.data(), count) != 0) return false;
  fixed_ = memory;
  return true;
}

DiskIo::~DiskIo() {
  Submit();
  while (Next(true)) {
  }
  // The kernel ends the ring some time later; the disk, and its lock, are to be free now. Older
  // kernels wait here for requests in flight, which have been waited for.
  if (!IsBusy()) io_uring_unregister_files(&ring_);
  io_uring_queue_exit(&ring_);
}

std::optional<std::int64_t> DiskIo::Start(const DiskOperation& operation,
                                          std::span<const iovec> pieces,
                                          std::uint32_t tag) noexcept {
  if (const auto result = TryNow(operation, pieces)) return result;
  io_uring_sqe* entry = TakeEntry(pieces.size());
  if (IsTransfer(operation.kind)) {
    PrepareTransfer(*entry, operation, pieces);
  } else if (operation.kind == Kind::kFlush) {
    io_uring_prep_fsync(entry, kPlainFile, IORING_FSYNC_DATASYNC);
  } else {
    io_uring_prep_fallocate(entry, kPlainFile, FallocateMode(operation.kind),
                            static_cast<off_t>(operation.offset),
                            static_cast<off_t>(operation.length_bytes));
  }
  entry->flags |= IOSQE_FIXED_FILE;
  entry->user_data = tag;
  ++in_flight_;
  return std::nullopt;
}

std::optional<std::int64_t> DiskIo::TryNow(const DiskOperation& operation,
                                           std::span<const iovec> pieces) noexcept {
  const int fd = image_.fd().get();
  const auto offset = static_cast<off_t>(operation.offset);
  if (image_.in_memory()) {
    switch (operation.kind) {
      case Kind::kRead:
        if (mapped_ && mapped_->Read(operation.offset, pieces)) {
          return static_cast<std::int64_t>(operation.length_bytes);
        }
        [[fallthrough]];
      case Kind::kWrite:
        return TransferNow(fd, operation.kind, pieces, offset);
      case Kind::kFlush:
        return 0;
      default:
        // A look at the mapping of a hole would fill it again.
        mapped_.reset();
        return ResultOf(::fallocate(fd, FallocateMode(operation.kind), offset,
                                    static_cast<off_t>(operation.length_bytes)));
    }
  }
  if (operation.kind != Kind::kRead || image_.direct_fd() || !tries_cache_) return std::nullopt;
  const auto count = static_cast<int>(pieces.size());
  const std::int64_t result = ResultOf(::preadv2(fd, pieces.data(), count, offset, RWF_NOWAIT));
  if (result == -EOPNOTSUPP) tries_cache_ = false;
  // What is only there in part, and what is wrong, the ring finds again.
  if (std::cmp_not_equal(result, operation.length_bytes)) return std::nullopt;
  return result;
}

bool DiskIo::FitsDirect(const DiskOperation& operation,
                        std::span<const iovec> pieces) const noexcept {
  if (!image_.direct_fd()) return false;
  std::uint64_t bits = operation.offset;
  for (const iovec& piece : pieces) {
    bits |= reinterpret_cast<std::uintptr_t>(piece.iov_base) | piece.iov_len;
  }
  return bits % image_.direct_alignment() == 0;
}

// An entry of the ring, and room in staged_: all of both when nothing waits to be submitted.
io_uring_sqe* DiskIo::TakeEntry(std::size_t pieces) noexcept {
  if (staged_.size() + pieces > kStagedPieces || io_uring_sq_space_left(&ring_) == 0) Submit();
  return io_uring_get_sqe(&ring_);
}

// The fixed buffer that it is in as a whole; the kernel takes requests in one only.
std::optional<int> DiskIo::FixedBuffer(const iovec& piece) const noexcept {
  // It may lie anywhere: below, the difference is too large.
  const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(piece.iov_base) -
                                reinterpret_cast<std::uintptr_t>(fixed_.data());
  if (offset >= fixed_.size() || piece.iov_len > fixed_.size() - offset) {
    return std::nullopt;
  }
  const std::size_t buffer = offset / kFixedBufferBytes;
  if ((offset + piece.iov_len - 1) / kFixedBufferBytes != buffer) return std::nullopt;
  return static_cast<int>(buffer);
}

void DiskIo::PrepareTransfer(io_uring_sqe& entry, const DiskOperation& operation,
                             std::span<const iovec> pieces) noexcept {
  const bool is_read = operation.kind == Kind::kRead;
  const int file = FitsDirect(operation, pieces) ? kDirectFile : kPlainFile;
  if (pieces.size() == 1 && pieces.front().iov_len <= INT32_MAX) {
    const auto length = static_cast<unsigned>(pieces.front().iov_len);
    const std::optional<int> buffer = FixedBuffer(pieces.front());
    const int kind = buffer ? (is_read ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED)
                            : (is_read ? IORING_OP_READ : IORING_OP_WRITE);
    io_uring_prep_rw(kind, &entry, file, pieces.front().iov_base, length, operation.offset);
    if (buffer) entry.buf_index = static_cast<std::uint16_t>(*buffer);
  } else {
    // The kernel reads the list when it is submitted.
    const std::size_t first = staged_.size();
    staged_.insert(staged_.end(), pieces.begin(), pieces.end());
    const auto count = static_cast<unsigned>(pieces.size());
    if (is_read) {
      io_uring_prep_readv(&entry, file, &staged_[first], count, operation.offset);
    } else {
      io_uring_prep_writev(&entry, file, &staged_[first], count, operation.offset);
    }
  }
  if (operation.durable) entry.rw_flags = RWF_DSYNC;
}

void DiskIo::Submit() noexcept {
  if (io_uring_sq_ready(&ring_) == 0) return;
  // What ends while it is submitted is looked for right after: no signal for that.
  io_uring_cq_eventfd_toggle(&ring_, false);
  int error = 0;
  for (unsigned tries = 0; io_uring_sq_ready(&ring_) > 0 && tries < kTries;) {
    const int submitted = io_uring_submit(&ring_);
    if (submitted > 0) continue;
    error = submitted;
    ++tries;
  }
  if (io_uring_sq_ready(&ring_) > 0) Withdraw(error < 0 ? error : -EAGAIN);
  io_uring_cq_eventfd_toggle(&ring_, true);
  // Before the ring is looked at: what ended before signals are on again is seen there.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  staged_.clear();
}

// The entries that the kernel has not taken. It reads the queue in io_uring_enter(2) alone, so that
// its tail can go back to where the kernel is.
void DiskIo::Withdraw(int error) noexcept {
  io_uring_sq& queue = ring_.sq;
  const unsigned first = *queue.khead;
  for (unsigned entry = first; entry != queue.sqe_tail; ++entry) {
    const io_uring_sqe& sqe = queue.sqes[entry & *queue.kring_mask];
    refused_.push_back({static_cast<std::uint32_t>(sqe.user_data), error});
  }
  queue.sqe_head = queue.sqe_tail = *queue.ktail = first;
}

std::optional<DiskIo::Ended> DiskIo::Next(bool wait) noexcept {
  if (in_flight_ == 0) return std::nullopt;
  if (!refused_.empty()) {
    const Ended ended = refused_.back();
    refused_.pop_back();
    --in_flight_;
    return ended;
  }
  io_uring_cqe* end = nullptr;
  if (io_uring_peek_cqe(&ring_, &end) != 0 && (!wait || gave_up_ || !Await(&end))) {
    return std::nullopt;
  }
  const Ended ended{static_cast<std::uint32_t>(end->user_data), end->res};
  io_uring_cqe_seen(&ring_, end);
  --in_flight_;
  return ended;
}

bool DiskIo::Await(io_uring_cqe** end) noexcept {
  using std::chrono::seconds;
  const auto whole = std::chrono::floor<seconds>(patience_);
  __kernel_timespec timeout{whole.count(), std::chrono::nanoseconds(patience_ - whole).count()};
  int error = 0;
  do {
    error = io_uring_wait_cqe_timeout(&ring_, end, &timeout);
  } while (error == -EINTR);
  gave_up_ = error != 0;
  return !gave_up_;
}

void DiskIo::Cancel() noexcept {
  // Kernels before 6.0 have no such call: then all is done.
  io_uring_sync_cancel_reg all{};
  all.flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
  io_uring_register_sync_cancel(&ring_, &all);
}

}  // namespace microvm
