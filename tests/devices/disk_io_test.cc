// SPDX-License-Identifier: Apache-2.0
// Hosts that do not answer, and kernels that take no requests.
#include "devices/virtio/disk_io.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include "tests/fakes/host_tree.h"
#include "vmm/host/file.h"
#include "vmm/host/linux_kernel.h"
#include "vmm/host/memory_mapping.h"

namespace microvm {
namespace {

using Kind = DiskOperation::Kind;
using std::chrono::steady_clock;

constexpr off_t kPipeBytes = 1 << 20;
constexpr std::chrono::milliseconds kPatience{1000};

// Has every file be on a file system that is not in memory.
class DiskKernel : public LinuxKernel {
 public:
  int Fstatfs(int /*fd*/, struct statfs* status) override {
    *status = {};
    status->f_type = EXT2_SUPER_MAGIC;
    return 0;
  }
};

// Has a file be a pipe, whose reads end when the test says so.
class PipeKernel final : public DiskKernel {
 public:
  PipeKernel() { REQUIRE(::pipe2(ends_.data(), O_CLOEXEC) == 0); }
  PipeKernel(const PipeKernel&) = delete;
  PipeKernel& operator=(const PipeKernel&) = delete;
  PipeKernel(PipeKernel&&) = delete;
  PipeKernel& operator=(PipeKernel&&) = delete;
  ~PipeKernel() override {
    for (const int end : ends_) ::close(end);
  }
  int Open(const char* /*path*/, int /*flags*/) override { return ::dup(ends_[0]); }
  int Flock(int /*fd*/, int /*operation*/) override { return 0; }
  int Fstat(int /*fd*/, struct stat* status) override {
    *status = {};
    status->st_mode = S_IFREG;
    status->st_size = kPipeBytes;
    status->st_blksize = 4096;
    return 0;
  }
  void Answer(std::string_view text) {
    REQUIRE(::write(ends_[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }

 private:
  std::array<int, 2> ends_{};
};

// A disk that has been asked for bytes it does not give.
struct SilentDisk {
  explicit SilentDisk(std::chrono::milliseconds patience = DiskIo::kPatience)
      : io(image, 64, ended, patience) {
    const iovec piece{bytes.data(), bytes.size()};
    CHECK_FALSE(io.Start({.kind = Kind::kRead, .length_bytes = bytes.size()}, {&piece, 1}, 7));
    io.Submit();
  }

  PipeKernel kernel;
  DiskImage image{kernel, {.path = "/a/file", .readonly = true}};
  Fd ended = MakeEventFd(kernel);
  std::array<char, 4> bytes{};
  DiskIo io;
};

TEST_CASE("a request that the host does not end can be looked for without a wait") {
  SilentDisk disk;
  CHECK(disk.io.IsBusy());
  CHECK_FALSE(disk.io.Next(false));
  disk.kernel.Answer("late");
  const auto end = disk.io.Next(true);
  REQUIRE(end.has_value());
  CHECK(end->tag == 7);
  CHECK(end->result == 4);
  CHECK(std::string_view(disk.bytes.data(), 4) == "late");
  CHECK_FALSE(disk.io.IsBusy());
}

TEST_CASE("what waits for an event is cancelled") {
  SilentDisk disk;
  disk.io.Cancel();
  const auto end = disk.io.Next(true);
  REQUIRE(end.has_value());
  CHECK(end->result == -ECANCELED);
  CHECK_FALSE(disk.io.IsBusy());
}

TEST_CASE("a host that does not answer is waited for once, and for so long") {
  SilentDisk disk(kPatience);
  const auto start = steady_clock::now();
  CHECK_FALSE(disk.io.Next(true));
  const auto waited = steady_clock::now() - start;
  CHECK(waited >= kPatience);
  CHECK(disk.io.IsBusy());
  // No more: neither here nor when it is destroyed.
  const auto again = steady_clock::now();
  CHECK_FALSE(disk.io.Next(true));
  CHECK(steady_clock::now() - again < kPatience);
}

// From now on this thread's submissions to any io_uring have this error.
void RefuseSubmissions(int error) {
  std::array<sock_filter, 4> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{code.size(), code.data()};
  REQUIRE(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  REQUIRE(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

TEST_CASE("requests that the kernel does not take end with its error, and the next are tried") {
  for (const int error : {EAGAIN, EINTR, EBUSY, EBADF, ENOMEM, ENXIO}) {
    CAPTURE(error);
    const fakes::TemporaryFolder folder;
    DiskKernel kernel;
    const DiskImage image(kernel, {.path = folder.Write("disk", std::string(4096, 'D'))});
    const Fd ended = MakeEventFd(kernel);
    DiskIo io(image, 128, ended);
    std::string text(512, 'W');
    const std::array<iovec, 2> pieces = {{{text.data(), 256}, {text.data() + 256, 256}}};
    const DiskOperation write{.kind = Kind::kWrite, .length_bytes = 512};
    std::thread([&] {
      RefuseSubmissions(error);
      // More than the ring takes at once.
      for (std::uint32_t tag = 0; tag < 100; ++tag) CHECK_FALSE(io.Start(write, pieces, tag));
      io.Submit();
      std::uint32_t tags = 0;
      while (const auto end = io.Next(false)) {
        CHECK(end->result == -error);
        tags += end->tag;
      }
      CHECK(tags == 99 * 100 / 2);
      CHECK_FALSE(io.IsBusy());
    }).join();
    // Another thread may.
    CHECK_FALSE(io.Start(write, pieces, 1));
    io.Submit();
    const auto end = io.Next(true);
    REQUIRE(end.has_value());
    CHECK(end->result == 512);
    CHECK_FALSE(io.Next(true));
  }
}

TEST_CASE(
    "pieces in locked memory are fixed buffers, whose pages the kernel has once and for all") {
  const fakes::TemporaryFolder folder;
  DiskKernel kernel;
  const std::string path = folder.Write("disk", std::string(8192, 'D'));
  const DiskImage image(kernel, {.path = path});
  const Fd ended = MakeEventFd(kernel);
  DiskIo io(image, 128, ended);
  constexpr std::size_t kBytes = 64U << 10;
  const MemoryMapping memory = MemoryMapping::Anonymous(kernel, kBytes, 4096, 0);
  REQUIRE(io.FixBuffers(memory.bytes()));
  const auto write = [&](std::uint64_t offset, std::span<std::byte> bytes) {
    const iovec piece{bytes.data(), bytes.size()};
    CHECK_FALSE(io.Start({.kind = Kind::kWrite, .offset = offset, .length_bytes = piece.iov_len},
                         std::span(&piece, 1), 1));
    io.Submit();
    const auto end = io.Next(true);
    REQUIRE(end.has_value());
    CHECK(std::cmp_equal(end->result, bytes.size()));
  };
  const std::span<std::byte> last = memory.bytes().last(4096);
  std::ranges::fill(last, std::byte{'F'});
  write(4096, last);
  std::vector<std::byte> other(4096, std::byte{'O'});
  write(0, other);
  CHECK(ReadTextFile(path) == std::string(4096, 'O') + std::string(4096, 'F'));
  // Another page takes its place: the kernel writes what the one that was there has.
  REQUIRE(::mmap(last.data(), last.size(), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == last.data());
  write(0, last);
  CHECK(ReadTextFile(path) == std::string(8192, 'F'));
}

}  // namespace
}  // namespace microvm
