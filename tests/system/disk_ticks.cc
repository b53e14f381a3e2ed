// SPDX-License-Identifier: Apache-2.0
//
// disk_ticks DISK: reads it past the guest's page cache and prints how many ticks of the virtual
// counter that takes: 4 KiB at random places one after the other, the same 32 at a time, and 1 MiB
// after the other.
// disk_ticks DISK endless: reads without an end, 32 at a time, and says after each few that it did.
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kMib = 1U << 20;
constexpr unsigned kDepth = 32;
constexpr unsigned kReads = 2048;
constexpr unsigned kDeepReads = 8192;
constexpr unsigned kFewReads = 256;
constexpr unsigned kMibs = 64;

std::uint64_t Counter() {
  std::uint64_t value = 0;
  asm volatile("isb\n mrs %0, cntvct_el0" : "=r"(value)::"memory");
  return value;
}

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  _exit(1);
}

// The next of a sequence of places that is the same in each run.
class Places {
 public:
  explicit Places(std::uint64_t blocks) : blocks_(blocks) {}
  std::uint64_t Next() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return (state_ >> 33) % blocks_ * kBlock;
  }

 private:
  std::uint64_t blocks_;
  std::uint64_t state_ = 1;
};

void ReadAll(int fd, char* buffer, std::size_t length, std::uint64_t offset) {
  if (pread(fd, buffer, length, static_cast<off_t>(offset)) != static_cast<ssize_t>(length)) {
    Fail("pread");
  }
}

std::uint64_t OneAfterTheOther(int fd, char* buffer, Places places) {
  const std::uint64_t start = Counter();
  for (unsigned read = 0; read < kReads; ++read) ReadAll(fd, buffer, kBlock, places.Next());
  return (Counter() - start) / kReads;
}

std::uint64_t ManyAtATime(int fd, char* buffer, Places& places, unsigned reads) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, kDepth, &context) != 0) Fail("io_setup");
  std::array<iocb, kDepth> requests{};
  std::array<iocb*, kDepth> next{};
  for (unsigned slot = 0; slot < kDepth; ++slot) {
    requests[slot].aio_lio_opcode = IOCB_CMD_PREAD;
    requests[slot].aio_fildes = static_cast<std::uint32_t>(fd);
    requests[slot].aio_buf = reinterpret_cast<std::uintptr_t>(buffer + slot * kBlock);
    requests[slot].aio_nbytes = kBlock;
    requests[slot].aio_data = slot;
    next[slot] = &requests[slot];
  }
  long ready = kDepth;
  unsigned submitted = 0;
  unsigned done = 0;
  const std::uint64_t start = Counter();
  while (done < reads) {
    for (long at = 0; at < ready; ++at) {
      next[static_cast<std::size_t>(at)]->aio_offset = static_cast<std::int64_t>(places.Next());
    }
    if (ready > 0 && syscall(SYS_io_submit, context, ready, next.data()) != ready) {
      Fail("io_submit");
    }
    submitted += static_cast<unsigned>(ready);
    std::array<io_event, kDepth> events{};
    const long ended = syscall(SYS_io_getevents, context, 1, kDepth, events.data(), nullptr);
    if (ended < 1) Fail("io_getevents");
    ready = 0;
    for (long at = 0; at < ended; ++at) {
      const io_event& event = events[static_cast<std::size_t>(at)];
      if (event.res != static_cast<std::int64_t>(kBlock)) Fail("a read");
      if (submitted + static_cast<unsigned>(ready) < reads) {
        next[static_cast<std::size_t>(ready++)] = &requests[event.data];
      }
    }
    done += static_cast<unsigned>(ended);
  }
  const std::uint64_t ticks = (Counter() - start) / reads;
  if (syscall(SYS_io_destroy, context) != 0) Fail("io_destroy");
  return ticks;
}

std::uint64_t InOrder(int fd, char* buffer) {
  const std::uint64_t start = Counter();
  for (std::uint64_t mib = 0; mib < kMibs; ++mib) ReadAll(fd, buffer, kMib, mib * kMib);
  return (Counter() - start) / kMibs;
}

[[noreturn]] void ReadWithoutEnd(int fd, char* buffer, Places& places) {
  for (;;) {
    ManyAtATime(fd, buffer, places, kFewReads);
    std::printf("reads=%u\n", kFewReads);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool endless = argc == 3 && std::string_view(argv[2]) == "endless";
  if (argc != 2 && !endless) return 2;
  const int fd = open(argv[1], O_RDONLY | O_DIRECT);
  std::uint64_t bytes = 0;
  if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) != 0) Fail(argv[1]);
  void* mapped = mmap(nullptr, kMib, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (mapped == MAP_FAILED) Fail("mmap");
  char* buffer = static_cast<char*>(mapped);
  Places places(bytes / kBlock);
  if (endless) ReadWithoutEnd(fd, buffer, places);
  InOrder(fd, buffer);  // everything has been used once then
  std::printf("one_after_the_other=%" PRIu64 "\n", OneAfterTheOther(fd, buffer, places));
  std::printf("many_at_a_time=%" PRIu64 "\n", ManyAtATime(fd, buffer, places, kDeepReads));
  std::printf("in_order=%" PRIu64 "\n", InOrder(fd, buffer));
  return 0;
}
