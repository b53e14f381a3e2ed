// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/mapped_image.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <numeric>
#include <string>
#include <vector>

#include "devices/virtio/guarded_copy.h"
#include "vmm/host/file.h"
#include "vmm/host/linux_kernel.h"

namespace microvm {
namespace {

constexpr std::size_t kFileBytes = 64U << 10;
constexpr std::size_t kPage = 4096;

// A file in memory whose bytes all differ from their neighbours.
class MemoryFile {
 public:
  MemoryFile() : fd_(kernel_, ::memfd_create("image", MFD_CLOEXEC)), content_(kFileBytes, '\0') {
    for (std::size_t at = 0; at < content_.size(); ++at) {
      content_[at] = static_cast<char>(at * 7 + at / kPage);
    }
    REQUIRE(::pwrite(fd_.get(), content_.data(), content_.size(), 0) == kFileBytes);
  }
  [[nodiscard]] const Fd& fd() const { return fd_; }
  [[nodiscard]] std::string Part(std::size_t at, std::size_t length) const {
    return content_.substr(at, length);
  }
  void Resize(std::size_t length) const {
    REQUIRE(::ftruncate(fd_.get(), static_cast<off_t>(length)) == 0);
  }
  void PunchHole(off_t at, off_t length) const {
    REQUIRE(::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, length) == 0);
  }
  [[nodiscard]] std::size_t AllocatedBytes() const {
    struct stat status {};
    REQUIRE(::fstat(fd_.get(), &status) == 0);
    return static_cast<std::size_t>(status.st_blocks) * 512;
  }

 private:
  LinuxKernel kernel_;
  Fd fd_;
  std::string content_;
};

struct ReadResult {
  bool whole;
  std::string bytes;
};

ReadResult ReadPieces(MappedImage& image, std::uint64_t offset,
                      const std::vector<std::size_t>& lengths) {
  std::string bytes(std::accumulate(lengths.begin(), lengths.end(), std::size_t{0}), 'x');
  std::vector<iovec> pieces;
  pieces.reserve(lengths.size());
  char* start = bytes.data();
  for (const std::size_t length : lengths) {
    pieces.push_back({start, length});
    start += length;
  }
  const bool whole = image.Read(offset, pieces);
  return {whole, bytes};
}

TEST_CASE("what is read of a mapped image is what the file has there, whatever the pieces") {
  const MemoryFile file;
  auto image = MappedImage::Of(file.fd(), kFileBytes);
  REQUIRE(image);
  const ReadResult read = ReadPieces(*image, 513, {1, 127, 128, 129, kPage, 3});
  CHECK(read.whole);
  CHECK(read.bytes == file.Part(513, 1 + 127 + 128 + 129 + kPage + 3));
  CHECK(ReadPieces(*image, kFileBytes - 512, {512}).bytes == file.Part(kFileBytes - 512, 512));
}

// Of a mapping, in this process (mincore(2) would tell of the file).
std::size_t ResidentPages(const std::string& part) {
  const std::string smaps = ReadTextFile("/proc/self/smaps");
  const std::size_t mapping = smaps.find(part);
  REQUIRE(mapping != std::string::npos);
  return std::stoul(smaps.substr(smaps.find("Rss:", mapping) + 4)) * 1024 / kPage;
}

TEST_CASE("what was read is resident until nothing is read any more, and read again then") {
  const MemoryFile file;
  auto image = MappedImage::Of(file.fd(), kFileBytes);
  REQUIRE(image);
  CHECK(ResidentPages("/memfd:image") == 0);
  CHECK(ReadPieces(*image, 0, {kFileBytes}).whole);
  CHECK(ResidentPages("/memfd:image") == kFileBytes / kPage);
  CHECK_FALSE(image->DropIdle());
  CHECK(ResidentPages("/memfd:image") == kFileBytes / kPage);
  CHECK(image->DropIdle());
  CHECK(ResidentPages("/memfd:image") == 0);
  CHECK(ReadPieces(*image, 512, {512}).bytes == file.Part(512, 512));
}

TEST_CASE("what is written to the file is read of its mapping") {
  const MemoryFile file;
  auto image = MappedImage::Of(file.fd(), kFileBytes);
  REQUIRE(image);
  CHECK(ReadPieces(*image, 512, {4}).bytes == file.Part(512, 4));
  REQUIRE(::pwrite(file.fd().get(), "news", 4, 512) == 4);
  CHECK(ReadPieces(*image, 512, {4}).bytes == "news");
}

TEST_CASE("a file that is made shorter ends a read, each time, and nothing else") {
  const MemoryFile file;
  auto image = MappedImage::Of(file.fd(), kFileBytes);
  REQUIRE(image);
  for (const std::size_t length : {kPage + 512, kPage}) {
    file.Resize(length);
    for (int time = 0; time < 3; ++time) {
      CHECK_FALSE(ReadPieces(*image, 2 * kPage, {512}).whole);
      CHECK_FALSE(ReadPieces(*image, kPage - 512, {512, 512}).whole);
      CHECK_FALSE(ReadPieces(*image, kPage + 512, {512}).whole);
      CHECK(ReadPieces(*image, kPage - 512, {512}).bytes == file.Part(kPage - 512, 512));
    }
  }
}

TEST_CASE("a file with a hole is not mapped: a look would fill it") {
  const MemoryFile file;
  file.PunchHole(3 * kPage, kPage);
  const std::size_t allocated = file.AllocatedBytes();
  CHECK(allocated == kFileBytes - kPage);
  CHECK(!MappedImage::Of(file.fd(), kFileBytes));
  CHECK(file.AllocatedBytes() == allocated);
}

TEST_CASE("a bus error of other code is what it was before") {
  const MemoryFile file;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGBUS, [](int) { ::_exit(42); });
    auto image = MappedImage::Of(file.fd(), kFileBytes);
    char byte = 0;
    const iovec piece{&byte, 1};
    if (!image || !image->Read(0, std::span(&piece, 1))) ::_exit(1);
    void* mapped = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file.fd().get(), 0);
    if (::ftruncate(file.fd().get(), 0) != 0) ::_exit(2);
    if (image->Read(0, std::span(&piece, 1))) ::_exit(3);
    ::_exit(*static_cast<volatile const char*>(mapped));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
}

}  // namespace
}  // namespace microvm
