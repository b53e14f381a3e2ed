// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/boot_image.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "tests/plan/plan_input.h"
#include "vmm/host/linux_kernel.h"

namespace microvm {
namespace {

using Bytes = std::vector<std::byte>;
using fakes::Contains;

constexpr std::uint64_t kRam = 0x4000'0000;
constexpr std::size_t kRamBytes = std::size_t{16} << 20;

void Put(Bytes& bytes, std::size_t offset, std::uint64_t value, std::size_t width) {
  std::memcpy(bytes.data() + offset, &value, width);
}

// An Image of `file_bytes` with a recognisable body, which wants `image_size` of memory.
Bytes MakeImage(std::size_t file_bytes, std::uint64_t image_size, std::uint64_t text_offset = 0) {
  Bytes image(file_bytes);
  for (std::size_t at = 64; at < image.size(); ++at) {
    image[at] = static_cast<std::byte>(at * 7 + (at >> 8) * 13 + 1);
  }
  Put(image, 0, 0x91005a4d, 4);  // "MZ", as kernels with an EFI stub begin
  Put(image, 8, text_offset, 8);
  Put(image, 16, image_size, 8);
  Put(image, 24, 0xa, 8);
  Put(image, 56, 0x644d5241, 4);
  return image;
}

// Adds a PE header whose one section ends at `end` of the file.
void AddPeHeader(Bytes& image, std::uint32_t end) {
  Put(image, 60, 64, 4);
  Put(image, 64, 0x4550, 4);
  Put(image, 68, 1ULL << 16 | 0xaa64, 4);
  Put(image, 84, 16, 4);           // size of the optional header
  Put(image, 104 + 16, 0x200, 4);  // size of the section's data
  Put(image, 104 + 20, end - 0x200, 4);
}

Bytes Gzip(const Bytes& plain) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes out(deflateBound(&stream, plain.size()));
  Bytes in = plain;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  REQUIRE(status == Z_STREAM_END);
  return out;
}

// Boot files in a folder, and the guest they are loaded into.
class Files {
 public:
  BootImages Open() { return {kernel_, config_}; }
  std::string OpenComplaint() {
    return fakes::ChainOf([&] { Open(); });
  }
  void SetKernel(const Bytes& content) { config_.kernel = folder_.Write("Image", content); }
  void SetInitrd(const Bytes& content) { config_.initrd = folder_.Write("initrd", content); }
  void SetKernelPath(const std::filesystem::path& path) { config_.kernel = path; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }

  // Loads into zeroed RAM; gives the complaint, if any.
  std::string Load() {
    const BootImages images = Open();
    fakes::PlanInput input;
    input.config.memory.size_bytes = kRamBytes;
    input.boot = images.facts();
    return fakes::ChainOf([&] {
      plan = input.Make();
      images.Load(*plan, memory);
    });
  }
  std::string LoadAfter(const Bytes& changed) {
    const BootImages images = Open();
    fakes::PlanInput input;
    input.config.memory.size_bytes = kRamBytes;
    input.boot = images.facts();
    plan = input.Make();
    std::filesystem::resize_file(config_.kernel, changed.size());
    return fakes::ChainOf([&] { images.Load(*plan, memory); });
  }
  [[nodiscard]] bool RamHolds(std::uint64_t address, const Bytes& content) const {
    const auto span = memory.Span({address}, content.size());
    return std::equal(span.begin(), span.end(), content.begin());
  }
  [[nodiscard]] bool RamIsZero(std::uint64_t from, std::uint64_t to) const {
    const auto span = memory.Span({from}, to - from);
    return std::all_of(span.begin(), span.end(), [](std::byte b) { return b == std::byte{0}; });
  }

  std::optional<VmPlan> plan;

 private:
  fakes::TemporaryFolder folder_;
  LinuxKernel kernel_;
  BootConfig config_;

 public:
  GuestMemory memory{kernel_, {AddressRange({kRam}, kRamBytes)}, {}};
};

TEST_CASE("an Image is read to where the plan has it, and nothing else is touched") {
  Files files;
  const Bytes image = MakeImage(100'000, 0x30'0000);
  files.SetKernel(image);
  CHECK(files.Open().facts().kernel_memory_bytes == 0x30'0000);
  CHECK(files.Open().facts().kernel_file_bytes == 100'000);
  CHECK_FALSE(files.Open().facts().kernel_compressed);
  CHECK(files.Load() == "");
  CHECK(files.RamHolds(kRam, image));
  CHECK(files.RamIsZero(kRam + 100'000, kRam + kRamBytes));
}

TEST_CASE("an Image is read to its text offset") {
  Files files;
  const Bytes image = MakeImage(4096, 0x10'0000, 0x8'0000);
  files.SetKernel(image);
  CHECK(files.Load() == "");
  CHECK(files.RamHolds(kRam + 0x8'0000, image));
}

TEST_CASE("a kernel of the time before image sizes goes to 512 KiB, as large as its file") {
  Files files;
  files.SetKernel(MakeImage(5000, 0, 0x1234));
  const BootFacts facts = files.Open().facts();
  CHECK(facts.text_offset == 0x8'0000);
  CHECK(facts.kernel_memory_bytes == 5000);
}

TEST_CASE("a file larger than the size in its header still has all its room") {
  Files files;
  files.SetKernel(MakeImage(5000, 100));
  CHECK(files.Open().facts().kernel_memory_bytes == 5000);
}

TEST_CASE("an initrd is read to its place, to its last byte") {
  Files files;
  files.SetKernel(MakeImage(4096, 4096));
  const Bytes initrd(12'345, std::byte{0xa5});
  files.SetInitrd(initrd);
  CHECK(files.Open().facts().initrd_bytes == 12'345);
  CHECK(files.Load() == "");
  const std::uint64_t start = files.plan->boot.initrd->start().value;
  CHECK(files.RamHolds(start, initrd));
  CHECK(files.RamIsZero(start + initrd.size(), kRam + kRamBytes));
}

TEST_CASE("a compressed Image is inflated in place, and no trace of the file stays") {
  Files files;
  const Bytes image = MakeImage(1'000'000, 0x10'0000);
  files.SetKernel(Gzip(image));
  CHECK(files.Open().facts().kernel_compressed);
  CHECK(files.Open().facts().kernel_memory_bytes == 0x10'0000);
  CHECK(files.Load() == "");
  CHECK(files.RamHolds(kRam, image));
  CHECK(files.RamIsZero(kRam + image.size(), kRam + kRamBytes));
}

TEST_CASE("a compressed Image may fill the memory of its header exactly, and not exceed it") {
  Files files;
  files.SetKernel(Gzip(MakeImage(100'000, 100'000)));
  CHECK(files.Load() == "");
  files.SetKernel(Gzip(MakeImage(100'001, 100'000)));
  CHECK(Contains(files.Load(), "inflates to more than its header tells of"));
}

TEST_CASE("compressed zeros without end do not fill the guest") {
  Files files;
  Bytes bomb = MakeImage(std::size_t{8} << 20, 4096);
  std::fill(bomb.begin() + 64, bomb.end(), std::byte{0});
  const Bytes compressed = Gzip(bomb);
  CHECK(compressed.size() < 20'000);
  files.SetKernel(compressed);
  CHECK(Contains(files.Load(), "inflates to more than its header tells of"));
  CHECK(files.RamIsZero(kRam + 4096, kRam + kRamBytes));
}

TEST_CASE("a compressed Image that is cut short anywhere is an error") {
  Files files;
  const Bytes whole = Gzip(MakeImage(50'000, 50'000));
  for (const std::size_t length : {whole.size() - 1, whole.size() - 8, whole.size() / 2}) {
    CAPTURE(length);
    files.SetKernel({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)});
    CHECK(Contains(files.Load(), "cut short: the gzip data ends early"));
  }
}

TEST_CASE("a compressed Image with a damaged byte is an error") {
  Files files;
  Bytes damaged = Gzip(MakeImage(50'000, 50'000));
  damaged[damaged.size() - 6] ^= std::byte{1};  // in the checksum
  files.SetKernel(damaged);
  CHECK(Contains(files.Load(), "corrupt: the gzip data is not valid"));
}

TEST_CASE("a compressed Image in several members is inflated as one, and bounded as one") {
  Files files;
  const Bytes image = MakeImage(100'000, 100'000);
  Bytes members;
  const std::vector<std::pair<int, int>> parts = {
      {0, 40}, {40, 60'000}, {60'000, 60'000}, {60'000, 100'000}};
  for (const auto& [from, to] : parts) {
    const Bytes member = Gzip(Bytes(image.begin() + from, image.begin() + to));
    members.insert(members.end(), member.begin(), member.end());
  }
  files.SetKernel(members);
  CHECK(files.Load() == "");
  CHECK(files.RamHolds(kRam, image));
  Bytes padded = members;
  padded.resize(padded.size() + 500);
  files.SetKernel(padded);
  CHECK(files.Load() == "");
  const Bytes more = Gzip(Bytes(1));
  members.insert(members.end(), more.begin(), more.end());
  files.SetKernel(members);
  CHECK(Contains(files.Load(), "inflates to more than its header tells of"));
  members.resize(members.size() - more.size() + 5);
  files.SetKernel(members);
  CHECK(Contains(files.Load(), "cut short: the gzip data ends early"));
}

TEST_CASE("a compressed Image with something else behind it is an error") {
  Files files;
  Bytes file = Gzip(MakeImage(50'000, 50'000));
  const std::size_t end = file.size();
  file.resize(end + 100);
  file.push_back(std::byte{'x'});
  files.SetKernel(file);
  CHECK(Contains(files.Load(), "corrupt: after its gzip data, from byte " + std::to_string(end) +
                                   " on, the file has something else"));
}

TEST_CASE("a compressed Image that does not tell its size is an error") {
  Files files;
  files.SetKernel(Gzip(MakeImage(5000, 0)));
  CHECK(Contains(files.OpenComplaint(), "its header does not tell how much memory it needs"));
}

TEST_CASE("a compressed Image needs room for both its forms") {
  Files files;
  Bytes image = MakeImage(std::size_t{13} << 20, std::size_t{13} << 20);
  std::uint32_t random = 1;
  for (std::size_t at = 64; at < image.size(); ++at) {
    random = random * 1664525 + 1013904223;
    image[at] = static_cast<std::byte>(random >> 24);
  }
  files.SetKernel(Gzip(image));
  CHECK(Contains(files.Load(), "does not fit in the guest's memory beside its compressed form"));
}

TEST_CASE("an Image shorter than its PE header tells is cut short") {
  Files files;
  Bytes image = MakeImage(8192, 0x10'0000);
  AddPeHeader(image, 8192);
  files.SetKernel(image);
  CHECK(files.OpenComplaint() == "");
  AddPeHeader(image, 8193);
  files.SetKernel(image);
  CHECK(Contains(files.OpenComplaint(),
                 "cut short: the file has 8192 bytes, its header tells of 8193"));
}

TEST_CASE("an Image whose first branch leads out of the file is cut short") {
  for (const std::size_t at : {0U, 4U}) {
    Files files;
    Bytes image = MakeImage(8192, 0x10'0000);
    Put(image, 0, 0xd503201f, 4);  // nop, as kernels without an EFI stub begin
    Put(image, at, 0x14000000 | (8188 - at) / 4, 4);
    files.SetKernel(image);
    CHECK(files.OpenComplaint() == "");
    Put(image, at, 0x14000000 | (8192 - at) / 4, 4);
    files.SetKernel(image);
    CHECK(Contains(files.OpenComplaint(), "its first instruction jumps to byte 8192"));
  }
}

TEST_CASE("a PE header that leads out of the file's start is not believed") {
  for (const std::uint64_t pe : {4096ULL, 4090ULL, 8191ULL, 0xffffffffULL}) {
    Files files;
    Bytes image = MakeImage(8192, 8192);
    Put(image, 60, pe, 4);
    files.SetKernel(image);
    CHECK(files.OpenComplaint() == "");
  }
  Files files;
  Bytes image = MakeImage(8192, 8192);
  AddPeHeader(image, 9000);
  Put(image, 68, 0xffffULL << 16, 4);  // more sections than there is room for
  files.SetKernel(image);
  CHECK(files.OpenComplaint() == "");
}

constexpr const char* kKernelRemedy =
    "to fix it:\n  give [boot] kernel what Linux's build leaves in arch/arm64/boot: Image, or "
    "Image.gz\n";

TEST_CASE("what is no kernel is refused by name, saying what is expected") {
  Files files;
  files.SetKernel(Bytes(4096, std::byte{0x7f}));
  const std::string path = (files.folder() / "Image").string();
  CHECK(files.OpenComplaint() ==
        "kernel " + path + "\n  no kernel: expected an arm64 Image, or one compressed with gzip\n" +
            kKernelRemedy);
  files.SetKernel(Gzip(Bytes(4096, std::byte{0x7f})));
  CHECK(Contains(files.OpenComplaint(), "no kernel: "));
}

TEST_CASE("a file too short for a header is refused") {
  Files files;
  for (const std::size_t length : {0U, 1U, 2U, 63U}) {
    files.SetKernel(Bytes(length, std::byte{0x1f}));
    CHECK(Contains(files.OpenComplaint(), "too short for a kernel: "));
    CHECK(files.OpenComplaint().ends_with(kKernelRemedy));
  }
  files.SetKernel(Gzip(Bytes(63)));
  CHECK(Contains(files.OpenComplaint(), "too short for a kernel: "));
}

TEST_CASE("a FIFO in the place of a boot file is refused, not waited for") {
  Files files;
  const std::filesystem::path fifo = files.folder() / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  files.SetKernelPath(fifo);
  CHECK(Contains(files.OpenComplaint(), "not a regular file"));
}

TEST_CASE("a compressed Image whose PE header tells of more is cut short too") {
  Files files;
  Bytes image = MakeImage(8192, 0x10'0000);
  AddPeHeader(image, 8193);
  files.SetKernel(Gzip(image));
  CHECK(Contains(files.Load(), "cut short"));
  AddPeHeader(image, 8192);
  files.SetKernel(Gzip(image));
  CHECK(files.Load() == "");
}

TEST_CASE("a big-endian kernel is refused") {
  Files files;
  Bytes image = MakeImage(4096, 4096);
  Put(image, 24, 0xb, 8);
  files.SetKernel(image);
  CHECK(Contains(files.OpenComplaint(), "a big-endian kernel"));
}

TEST_CASE("a missing file, a folder and an empty initrd are refused by name") {
  Files files;
  files.SetKernelPath("/nonexistent/Image");
  CHECK(files.OpenComplaint() ==
        "kernel /nonexistent/Image\n  it cannot be opened\n    open /nonexistent/Image: No such "
        "file or directory\nto fix it:\n  correct the path in the [boot] table; it is relative to "
        "the configuration file\n");
  files.SetKernelPath(files.folder());
  CHECK(Contains(files.OpenComplaint(),
                 "  not a regular file\nto fix it:\n  correct the path in the [boot] table;"));
  files.SetKernel(MakeImage(4096, 4096));
  files.SetInitrd({});
  CHECK(files.OpenComplaint() ==
        "initrd " + (files.folder() / "initrd").string() +
            "\n  the file is empty\nto fix it:\n  build it again, or remove 'initrd' from the "
            "[boot] table\n");
}

TEST_CASE("a file that becomes shorter while it is in use is an error, not a partial kernel") {
  Files files;
  files.SetKernel(MakeImage(8192, 8192));
  CHECK(Contains(files.LoadAfter(Bytes(4096)), "the file became shorter while it was read"));
}

}  // namespace
}  // namespace microvm
