// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/block_device.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "tests/devices/virtio_guest.h"
#include "vmm/host/file.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::kVirtqNext;
using fakes::kVirtqWrite;
using fakes::VirtioGuest;
using fakes::VirtioRam;

constexpr std::size_t kDiskBytes = 64U << 10;
constexpr std::uint64_t kHeader = VirtioRam::kStart + 0x10000;
constexpr std::uint64_t kStatus = VirtioRam::kStart + 0x11000;
constexpr std::uint64_t kData = VirtioRam::kStart + 0x20000;

constexpr int kOk = 0;
constexpr int kIoError = 1;
constexpr int kUnsupported = 2;

enum RequestType : std::uint32_t { kIn = 0, kOut = 1, kFlush = 4, kGetId = 8, kDiscard = 11 };
constexpr std::uint32_t kWriteZeroes = 13;

struct Header {
  std::uint32_t type;
  std::uint32_t reserved = 0;
  std::uint64_t sector = 0;
};
struct Range {
  std::uint64_t sector;
  std::uint32_t sectors;
  std::uint32_t flags = 0;
};

std::string Pattern(std::size_t length, char seed) {
  std::string text(length, '\0');
  for (std::size_t at = 0; at < length; ++at) {
    text[at] = static_cast<char>((at * 31 + at / 512 + static_cast<unsigned char>(seed)) & 0x7f);
  }
  return text;
}

// A file that is gone with its owner, in a folder of a file system of choice.
class DiskFile {
 public:
  explicit DiskFile(const char* folder) : path_(std::string(folder) + "/disk-XXXXXX") {
    ::close(::mkostemp(path_.data(), O_CLOEXEC));
    WriteFile(path_, Pattern(kDiskBytes, 'D'));
  }
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;
  DiskFile(DiskFile&&) = delete;
  DiskFile& operator=(DiskFile&&) = delete;
  ~DiskFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string content() const { return ReadTextFile(path_); }

 private:
  std::string path_;
};

struct DiskSettings {
  bool readonly = false;
  bool direct = false;
  std::string serial = {};
  std::uint64_t features = VirtioGuest::kVersion1 | std::uint64_t{1} << 9;  // with flushes
  const char* folder = "/var/tmp";
};

// A driver with a disk.
class Disk {
 public:
  explicit Disk(const DiskSettings& settings = {})
      : file(settings.folder),
        device(DiskImage(kernel_, {file.path(), settings.readonly, settings.direct}),
               {.serial = settings.serial}, ended_) {
    guest.Start(queue_, settings.features);
  }

  // The status that the device gives; the bytes it says it wrote are in `written`.
  int Do(const Header& header, std::uint16_t data_flags, std::uint32_t length,
         std::uint64_t data = kData) {
    guest.memory.Write(kHeader, header);
    guest.memory.Write(kStatus, std::uint8_t{0xff});
    queue_.Describe(
        0, {kHeader, sizeof(header), kVirtqNext, length > 0 ? std::uint16_t{1} : std::uint16_t{2}});
    queue_.Describe(1, {data, length, static_cast<std::uint16_t>(data_flags | kVirtqNext), 2});
    queue_.Describe(2, {kStatus, 1, kVirtqWrite, 0});
    return Finish();
  }
  int Finish() {
    queue_.MakeAvailable(0);
    guest.transport.OnNotified();
    const auto before = static_cast<std::uint16_t>(requests_++);
    while (queue_.UsedIndex() == before) {
      pollfd ended{ended_.get(), POLLIN, 0};
      REQUIRE(::poll(&ended, 1, 10'000) == 1);
      VirtioGuest::Take(ended_);
      guest.transport.OnEnded();
      was_async = true;
    }
    written = queue_.UsedEntry(before).length;
    return guest.memory.Read<std::uint8_t>(kStatus);
  }
  int ReadSectors(std::uint64_t sector, std::uint32_t length, std::uint64_t data = kData) {
    return Do({kIn, 0, sector}, kVirtqWrite, length, data);
  }
  int WriteSectors(std::uint64_t sector, const std::string& text) {
    guest.memory.WriteText(kData, text);
    return Do({kOut, 0, sector}, 0, static_cast<std::uint32_t>(text.size()));
  }
  int DoRange(std::uint32_t type, const Range& range) {
    guest.memory.Write(kData, range);
    return Do({type}, 0, sizeof(range));
  }

 private:
  LinuxKernel kernel_;
  Fd ended_ = MakeEventFd(kernel_);
  std::uint32_t requests_ = 0;

 public:
  DiskFile file;
  BlockDevice device;
  VirtioGuest guest{device};
  std::uint32_t written = 0;
  bool was_async = false;

 private:
  DriverQueue queue_{guest.memory, VirtioRam::kStart};
};

// Where a file is on a file system of a disk, and in memory.
constexpr std::array<const char*, 2> kFolders = {"/var/tmp", "/dev/shm"};

template <typename Value>
Value Config(Disk& disk, std::uint64_t offset) {
  std::array<std::byte, sizeof(Value)> data{};
  CHECK(disk.guest.transport.Read(0x100 + offset, data) == MmioResult::kOk);
  return static_cast<Value>(LoadRegister(data));
}

TEST_CASE("a disk tells its size, its blocks and what it can do") {
  Disk disk;
  CHECK(Config<std::uint64_t>(disk, 0) == kDiskBytes / 512);
  CHECK(Config<std::uint32_t>(disk, 12) == 254);
  CHECK(Config<std::uint32_t>(disk, 20) == 512);
  CHECK(Config<std::uint8_t>(disk, 24) == 3);  // the file system's 4 KiB
  CHECK(Config<std::uint16_t>(disk, 34) == 1);
  constexpr std::uint64_t kWritable = 1U << 13 | 1U << 14;
  CHECK((disk.guest.Offered() & 0xffff) == (kWritable | 1U << 2 | 1U << 6 | 1U << 9 | 1U << 10));
  Disk readonly({.readonly = true});
  CHECK((readonly.guest.Offered() & kWritable) == 0);
  CHECK((readonly.guest.Offered() & 1U << 5) != 0);
}

TEST_CASE("what is written is in the file, and read again") {
  for (const char* folder : kFolders) {
    for (const bool direct : {false, true}) {
      if (direct && folder != kFolders[0]) continue;  // in memory since Linux 6.6 only
      CAPTURE(folder);
      CAPTURE(direct);
      Disk disk({.direct = direct, .folder = folder});
      const std::string text = Pattern(8192, 'W');
      CHECK(disk.WriteSectors(16, text) == kOk);
      CHECK(disk.written == 1);
      CHECK(disk.Do({kFlush}, 0, 0) == kOk);
      CHECK(disk.ReadSectors(8, 16384) == kOk);
      CHECK(disk.written == 16385);
      const std::string content = disk.file.content();
      CHECK(content.substr(8192, 8192) == text);
      CHECK(content.size() == kDiskBytes);
      CHECK(disk.guest.memory.ReadText(kData, 16384) == content.substr(4096, 16384));
      const VirtioTraffic traffic = disk.device.traffic();
      CHECK(traffic.bytes_read == 16384);
      CHECK(traffic.bytes_written == 8192);
      CHECK(traffic.errors == 0);
    }
  }
}

TEST_CASE("what does not fit direct requests is done all the same") {
  Disk disk({.direct = true});
  CHECK(disk.ReadSectors(1, 512, kData + 4) == kOk);
  CHECK(disk.guest.memory.ReadText(kData + 4, 512) == disk.file.content().substr(512, 512));
}

TEST_CASE("a file system in memory is never waited for") {
  Disk disk({.folder = "/dev/shm"});
  CHECK(disk.WriteSectors(0, Pattern(4096, 'M')) == kOk);
  CHECK(disk.ReadSectors(0, 4096) == kOk);
  CHECK(disk.Do({kFlush}, 0, 0) == kOk);
  CHECK_FALSE(disk.was_async);
}

TEST_CASE("without flushes each write is its own") {
  Disk disk({.features = VirtioGuest::kVersion1});
  CHECK(disk.WriteSectors(0, Pattern(4096, 'T')) == kOk);
  CHECK(disk.file.content().substr(0, 4096) == Pattern(4096, 'T'));
}

TEST_CASE("requests beyond the disk, or of parts of sectors, are errors") {
  Disk disk;
  const std::uint64_t end = kDiskBytes / 512;
  CHECK(disk.ReadSectors(end - 1, 512) == kOk);
  CHECK(disk.ReadSectors(end - 1, 1024) == kIoError);
  CHECK(disk.ReadSectors(end, 512) == kIoError);
  CHECK(disk.ReadSectors(UINT64_MAX, 512) == kIoError);
  CHECK(disk.ReadSectors(UINT64_MAX / 512 + 1, 512) == kIoError);  // in bytes it wraps
  CHECK(disk.ReadSectors(0, 511) == kIoError);
  CHECK(disk.WriteSectors(end, Pattern(512, 'E')) == kIoError);
  CHECK(disk.WriteSectors(0, Pattern(100, 'E')) == kIoError);
  CHECK(disk.file.content() == Pattern(kDiskBytes, 'D'));
  CHECK(disk.device.traffic().errors == 7);
}

TEST_CASE("a read-only disk is not written") {
  Disk disk({.readonly = true});
  CHECK(disk.ReadSectors(0, 512) == kOk);
  CHECK(disk.WriteSectors(0, Pattern(512, 'R')) == kIoError);
  CHECK(disk.DoRange(kDiscard, {0, 8}) == kIoError);
  CHECK(disk.DoRange(kWriteZeroes, {0, 8}) == kIoError);
  CHECK(disk.file.content() == Pattern(kDiskBytes, 'D'));
}

TEST_CASE("the serial number is given, as much of it as there is room for") {
  Disk disk({.serial = "0123456789abcdefghij"});
  CHECK(disk.Do({kGetId}, kVirtqWrite, 20) == kOk);
  CHECK(disk.guest.memory.ReadText(kData, 20) == "0123456789abcdefghij");
  CHECK(disk.written == 21);
  Disk shorter({.serial = "ab"});
  shorter.guest.memory.WriteText(kData, std::string(20, 'x'));
  CHECK(shorter.Do({kGetId}, kVirtqWrite, 3) == kOk);
  CHECK(shorter.guest.memory.ReadText(kData, 4) == std::string("ab\0x", 4));
}

TEST_CASE("ranges are discarded, and filled with zeros with and without their room") {
  for (const char* folder : kFolders) {
    CAPTURE(folder);
    Disk disk({.folder = folder});
    CHECK(disk.DoRange(kDiscard, {8, 8}) == kOk);
    CHECK(disk.DoRange(kWriteZeroes, {24, 8, 1}) == kOk);
    CHECK(disk.DoRange(kWriteZeroes, {40, 8, 0}) == kOk);
    std::string expected = Pattern(kDiskBytes, 'D');
    for (const std::size_t sector : {8U, 24U, 40U})
      expected.replace(sector * 512, 4096, 4096, '\0');
    CHECK(disk.file.content() == expected);
    CHECK(disk.DoRange(kDiscard, {kDiskBytes / 512, 8}) == kIoError);
    CHECK(disk.DoRange(kDiscard, {0, 8, 1}) == kUnsupported);
    CHECK(disk.DoRange(kWriteZeroes, {0, 8, 2}) == kUnsupported);
    CHECK(disk.DoRange(kWriteZeroes, {UINT64_MAX, UINT32_MAX, 1}) == kIoError);
    CHECK(disk.Do({kDiscard}, 0, 32) == kUnsupported);  // two ranges
    CHECK(disk.file.content() == expected);
  }
}

TEST_CASE("what was discarded takes no room when it is read") {
  Disk disk({.folder = "/dev/shm"});
  const auto blocks = [&] {
    struct stat status {};
    REQUIRE(::stat(disk.file.path().c_str(), &status) == 0);
    return status.st_blocks;
  };
  CHECK(disk.ReadSectors(0, kDiskBytes / 2) == kOk);
  const auto before = blocks();
  CHECK(disk.DoRange(kDiscard, {0, 64}) == kOk);
  const auto after = blocks();
  CHECK(after < before);
  CHECK(disk.ReadSectors(0, kDiskBytes / 2) == kOk);
  CHECK(blocks() == after);
}

TEST_CASE("a request of another kind is not supported") {
  Disk disk;
  CHECK(disk.Do({0x1234}, kVirtqWrite, 512) == kUnsupported);
}

TEST_CASE("a file that was cut off gives errors, and does not grow again") {
  for (const char* folder : kFolders) {
    CAPTURE(folder);
    Disk disk({.folder = folder});
    // Inside a page, too, whose rest a mapping has as zeros.
    std::filesystem::resize_file(disk.file.path(), 4096 + 512);
    CHECK(disk.ReadSectors(0, 4096) == kOk);
    CHECK(disk.ReadSectors(8, 512) == kOk);
    CHECK(disk.ReadSectors(9, 512) == kIoError);
    std::filesystem::resize_file(disk.file.path(), 4096);
    CHECK(disk.ReadSectors(0, 4096) == kOk);
    CHECK(disk.ReadSectors(4, 4096) == kIoError);
    CHECK(disk.ReadSectors(64, 512) == kIoError);
    CHECK(disk.WriteSectors(64, Pattern(512, 'G')) == kIoError);
    CHECK(disk.DoRange(kWriteZeroes, {64, 8}) == kIoError);
    CHECK(std::filesystem::file_size(disk.file.path()) == 4096);
  }
}

TEST_CASE("a write that the host does not take is an error") {
  // A file's size is limited, as a full file system limits it.
  Disk disk;
  const auto before = ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{16384, limit.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const int inside = disk.WriteSectors(0, Pattern(4096, 'F'));
  const int partly = disk.WriteSectors(28, Pattern(4096, 'F'));
  ::setrlimit(RLIMIT_FSIZE, &limit);
  ::signal(SIGXFSZ, before);
  CHECK(inside == kOk);
  CHECK(partly == kIoError);
}

TEST_CASE("a request without a header or a status stops the device") {
  for (const bool header : {false, true}) {
    Disk disk;
    DriverQueue queue(disk.guest.memory, VirtioRam::kStart + 0x8000);
    disk.guest.Start(queue);
    queue.Describe(0, {kHeader, header ? 16U : 15U, header ? std::uint16_t{0} : kVirtqNext, 1});
    queue.Describe(1, {kStatus, 1, kVirtqWrite, 0});
    queue.MakeAvailable(0);
    disk.guest.transport.OnNotified();
    CHECK((disk.guest.Status() & VirtioGuest::kNeedsReset) != 0);
    CHECK(queue.UsedIndex() == 0);
  }
}

TEST_CASE("many requests at once are all done, and a reset waits for them") {
  Disk disk({.direct = true});
  constexpr std::uint16_t kRequests = 80;  // more than the ring takes at once
  DriverQueue queue(disk.guest.memory, VirtioRam::kStart + 0x4000, 256);
  disk.guest.Start(queue);
  for (std::uint16_t number = 0; number < kRequests; ++number) {
    const auto head = static_cast<std::uint16_t>(3 * number);
    disk.guest.memory.Write(kHeader + 16ULL * number, Header{kIn, 0, 8ULL * (number % 16)});
    queue.Describe(
        head, {kHeader + 16ULL * number, 16, kVirtqNext, static_cast<std::uint16_t>(head + 1)});
    queue.Describe(static_cast<std::uint16_t>(head + 1),
                   {kData + 4096ULL * number, 4096, kVirtqNext | kVirtqWrite,
                    static_cast<std::uint16_t>(head + 2)});
    queue.Describe(static_cast<std::uint16_t>(head + 2), {kStatus + number, 1, kVirtqWrite, 0});
    disk.guest.memory.Write(kStatus + number, std::uint8_t{0xff});
    queue.MakeAvailable(head);
  }
  disk.guest.transport.OnNotified();
  disk.guest.transport.OnNotified();
  disk.guest.Write(0x70, 0);
  for (std::uint16_t number = 0; number < kRequests; ++number) {
    REQUIRE(disk.guest.memory.Read<std::uint8_t>(kStatus + number) == kOk);
    REQUIRE(disk.guest.memory.ReadText(kData + 4096ULL * number, 4096) ==
            Pattern(kDiskBytes, 'D').substr(4096ULL * (number % 16), 4096));
  }
}

}  // namespace
}  // namespace microvm
