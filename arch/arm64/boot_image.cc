// SPDX-License-Identifier: Apache-2.0
#include "arch/arm64/boot_image.h"

#include <fcntl.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// Documentation/arch/arm64/booting.rst, section 4; little-endian.
struct ImageHeader {
  std::uint32_t code0;
  std::uint32_t code1;
  std::uint64_t text_offset;
  std::uint64_t image_size;
  std::uint64_t flags;
  std::array<std::uint64_t, 3> reserved;
  std::uint32_t magic;
  std::uint32_t pe_offset;
};
static_assert(sizeof(ImageHeader) == 64);
constexpr std::uint32_t kImageMagic = 0x644d5241;  // "ARM\x64"
constexpr std::uint64_t kFlagBigEndian = 1;
// Kernels before 3.17 leave image_size zero and mean this offset.
constexpr std::uint64_t kOldTextOffset = 0x80000;

constexpr std::size_t kPeekBytes = 4096;
constexpr int kGzipWindow = 16 + MAX_WBITS;  // zlib: expect a gzip header

constexpr const char* kExpected = "expected an arm64 Image, or one compressed with gzip";
constexpr const char* kKernelRemedy =
    "give [boot] kernel what Linux's build leaves in arch/arm64/boot: Image, or Image.gz";
constexpr const char* kDamagedRemedy = "copy or build the kernel again";
constexpr const char* kPathRemedy =
    "correct the path in the [boot] table; it is relative to the configuration file";

std::uint64_t FileBytes(const Fd& fd) {
  struct stat status {};
  if (fd.kernel().Fstat(fd.get(), &status) != 0) ThrowErrno("fstat");
  if (!S_ISREG(status.st_mode)) throw Error("not a regular file", kPathRemedy);
  return static_cast<std::uint64_t>(status.st_size);
}

Fd OpenBootFile(HostKernel& kernel, const std::filesystem::path& path) {
  const Error context("it cannot be opened", kPathRemedy);
  // Not to wait for the writer of a FIFO, which is no boot file anyway.
  return WithContext(context, [&] { return OpenFd(kernel, path.string(), O_RDONLY | O_NONBLOCK); });
}

// Reads exactly out.size() bytes.
void ReadExactly(const Fd& fd, std::uint64_t offset, std::span<std::byte> out) {
  while (!out.empty()) {
    const ssize_t count =
        fd.kernel().Pread(fd.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) ThrowErrno("pread");
    if (count == 0) throw Error("the file became shorter while it was read");
    offset += static_cast<std::uint64_t>(count);
    out = out.subspan(static_cast<std::size_t>(count));
  }
}

// zlib's inflate state for one gzip stream.
class Inflater {
 public:
  Inflater() {
    if (inflateInit2(&stream_, kGzipWindow) != Z_OK) throw Error("zlib: no memory");
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  Inflater(Inflater&&) = delete;
  Inflater& operator=(Inflater&&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  struct Result {
    int status = Z_OK;  // zlib's
    std::size_t consumed = 0;
    std::size_t produced = 0;
  };
  // Inflates `in` into `out`, until one of them ends or the stream does.
  Result Inflate(std::span<std::byte> in, std::span<std::byte> out) {
    // zlib counts in unsigned int; each turn is bounded by it.
    constexpr std::size_t kTurn = std::size_t{1} << 30;
    Result result;
    auto& [status, consumed, produced] = result;
    while (status == Z_OK) {
      stream_.next_in = reinterpret_cast<Bytef*>(in.data() + consumed);
      stream_.avail_in = static_cast<uInt>(std::min(kTurn, in.size() - consumed));
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + produced);
      stream_.avail_out = static_cast<uInt>(std::min(kTurn, out.size() - produced));
      const uInt in_before = stream_.avail_in;
      const uInt out_before = stream_.avail_out;
      status = inflate(&stream_, Z_NO_FLUSH);
      consumed += in_before - stream_.avail_in;
      produced += out_before - stream_.avail_out;
    }
    return result;
  }

 private:
  z_stream stream_{};
};

bool IsGzip(std::span<const std::byte> start) {
  return start.size() >= 2 && start[0] == std::byte{0x1f} && start[1] == std::byte{0x8b};
}

// Inflates the members of a gzip file, one behind the other (RFC 1952, section 2.2), into `out`,
// until one of them ends or the last member does.
Inflater::Result InflateMembers(std::span<std::byte> in, std::span<std::byte> out) {
  Inflater::Result all;
  do {
    const Inflater::Result member =
        Inflater().Inflate(in.subspan(all.consumed), out.subspan(all.produced));
    all.consumed += member.consumed;
    all.produced += member.produced;
    all.status = member.status;
  } while (all.status == Z_STREAM_END && IsGzip(in.subspan(all.consumed)));
  return all;
}

ImageHeader ParseHeader(std::span<const std::byte> start) {
  ImageHeader header{};
  if (start.size() < sizeof(header)) {
    throw Error(std::string("too short for a kernel: ") + kExpected, kKernelRemedy);
  }
  std::memcpy(&header, start.data(), sizeof(header));
  if (header.magic != kImageMagic) {
    throw Error(std::string("no kernel: ") + kExpected, kKernelRemedy);
  }
  if ((header.flags & kFlagBigEndian) != 0) {
    throw Error("a big-endian kernel: guests start little-endian",
                "build it without CONFIG_CPU_BIG_ENDIAN");
  }
  if (header.image_size == 0) header.text_offset = kOldTextOffset;
  return header;
}

std::uint32_t Load32(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

// The length of an Image's file, as the PE header of kernels with an EFI stub tells it (PE format,
// "Section Table"); zero if it does not. It is how a file that was cut short is known.
std::uint64_t FileBytesByPeHeader(const ImageHeader& header, std::span<const std::byte> start) {
  constexpr std::size_t kCoffHeader = 24;
  constexpr std::size_t kSection = 40;
  const std::size_t pe = header.pe_offset;
  if ((header.code0 & 0xffff) != 0x5a4d || pe > start.size() || start.size() - pe < kCoffHeader) {
    return 0;
  }
  if (Load32(start, pe) != 0x4550) return 0;
  const std::size_t sections = Load32(start, pe + 4) >> 16;
  const std::size_t table = pe + kCoffHeader + (Load32(start, pe + 20) & 0xffff);
  std::uint64_t end = 0;
  for (std::size_t index = 0; index < sections; ++index) {
    const std::size_t at = table + index * kSection;
    if (at + kSection > start.size()) return 0;
    end = std::max(end, std::uint64_t{Load32(start, at + 20)} + Load32(start, at + 16));
  }
  return end;
}

// The offset that the first instructions jump to, past the header; zero if they are no branches.
// Linux's entry lies in its initialisation code, behind text and read-only data.
std::uint64_t EntryOffset(const ImageHeader& header) {
  constexpr std::uint32_t kBranchMask = 0xfc000000;
  constexpr std::uint32_t kBranch = 0x14000000;  // Arm DDI 0487, C6.2 "B": imm26 words from here
  for (const std::uint32_t at : {0U, 4U}) {
    const std::uint32_t code = at == 0 ? header.code0 : header.code1;
    if ((code & kBranchMask) == kBranch) return at + std::uint64_t{code & ~kBranchMask} * 4;
  }
  return 0;
}

void CheckWhole(const ImageHeader& header, std::span<const std::byte> start,
                std::uint64_t file_bytes) {
  const std::string cut_short =
      "cut short: the file has " + std::to_string(file_bytes) + " bytes, ";
  const std::uint64_t whole = FileBytesByPeHeader(header, start);
  if (whole > file_bytes) {
    throw Error(cut_short + "its header tells of " + std::to_string(whole), kDamagedRemedy);
  }
  if (EntryOffset(header) >= file_bytes) {
    throw Error(
        cut_short + "its first instruction jumps to byte " + std::to_string(EntryOffset(header)),
        kDamagedRemedy);
  }
}

BootFacts ReadKernelFacts(const Fd& fd) {
  BootFacts facts;
  facts.kernel_file_bytes = FileBytes(fd);
  std::array<std::byte, kPeekBytes> peek{};
  const std::size_t length = std::min<std::uint64_t>(peek.size(), facts.kernel_file_bytes);
  std::span<std::byte> start(peek.data(), length);
  ReadExactly(fd, 0, start);
  std::array<std::byte, sizeof(ImageHeader)> inflated{};
  facts.kernel_compressed = IsGzip(start);
  if (facts.kernel_compressed) {
    start = std::span(inflated.data(), InflateMembers(start, inflated).produced);
  }
  const ImageHeader header = ParseHeader(start);
  facts.text_offset = header.text_offset;
  facts.kernel_memory_bytes = std::max(header.image_size, facts.kernel_file_bytes);
  if (facts.kernel_compressed) {
    facts.kernel_memory_bytes = header.image_size;
    if (header.image_size == 0) throw Error("its header does not tell how much memory it needs");
    return facts;
  }
  CheckWhole(header, start, facts.kernel_file_bytes);
  return facts;
}

// Where the compressed kernel waits: at the end of a range of RAM, which nothing else uses yet.
GuestAddress PlaceBeside(const VmPlan& plan, std::uint64_t file_bytes) {
  for (auto range = plan.ram.rbegin(); range != plan.ram.rend(); ++range) {
    const bool has_kernel = range->Contains(plan.boot.kernel);
    const std::uint64_t kernel_end = plan.boot.kernel.value + plan.boot.kernel_memory_bytes;
    const std::uint64_t start = has_kernel ? kernel_end : range->start().value;
    const std::uint64_t end = range->last().value + 1;
    if (start <= end && file_bytes <= end - start) return {end - file_bytes};
  }
  throw Error("does not fit in the guest's memory beside its compressed form",
              "make memory.size larger");
}

}  // namespace

BootImages::BootImages(HostKernel& kernel, const BootConfig& config) : config_(config) {
  WithContext(Error("kernel " + config.kernel.string()), [&] {
    kernel_ = OpenBootFile(kernel, config.kernel);
    facts_ = ReadKernelFacts(kernel_);
  });
  if (!config.initrd) return;
  WithContext(Error("initrd " + config.initrd->string()), [&] {
    initrd_ = OpenBootFile(kernel, *config.initrd);
    facts_.initrd_bytes = FileBytes(initrd_);
    if (facts_.initrd_bytes == 0) {
      throw Error("the file is empty", "build it again, or remove 'initrd' from the [boot] table");
    }
  });
}

void BootImages::Load(const VmPlan& plan, const GuestMemory& memory) const {
  WithContext(Error("kernel " + config_.kernel.string()), [&] {
    if (plan.boot.kernel_compressed) {
      LoadCompressed(plan, memory);
    } else {
      ReadExactly(kernel_, 0, memory.Span(plan.boot.kernel, facts_.kernel_file_bytes));
    }
  });
  if (!plan.boot.initrd) return;
  WithContext(Error("initrd " + config_.initrd->string()), [&] {
    const AddressRange& range = *plan.boot.initrd;
    ReadExactly(initrd_, 0, memory.Span(range.start(), range.size_bytes()));
  });
}

void BootImages::LoadCompressed(const VmPlan& plan, const GuestMemory& memory) const {
  const std::span<std::byte> kernel = memory.Span(plan.boot.kernel, plan.boot.kernel_memory_bytes);
  const GuestAddress beside = PlaceBeside(plan, facts_.kernel_file_bytes);
  const std::span<std::byte> compressed = memory.Span(beside, facts_.kernel_file_bytes);
  ReadExactly(kernel_, 0, compressed);
  const Inflater::Result result = InflateMembers(compressed, kernel);
  const std::span<const std::byte> rest = compressed.subspan(result.consumed);
  const bool padded =
      std::all_of(rest.begin(), rest.end(), [](std::byte byte) { return byte == std::byte{0}; });
  std::memset(compressed.data(), 0, compressed.size());
  if (result.status == Z_STREAM_END) {
    if (!padded) {
      throw Error("corrupt: after its gzip data, from byte " + std::to_string(result.consumed) +
                      " on, the file has something else",
                  kDamagedRemedy);
    }
    const auto start = kernel.first(std::min(kernel.size(), kPeekBytes));
    CheckWhole(ParseHeader(start), start, result.produced);
    return;
  }
  if (result.status != Z_BUF_ERROR) {
    throw Error("corrupt: the gzip data is not valid", kDamagedRemedy);
  }
  throw Error(result.consumed == compressed.size() ? "cut short: the gzip data ends early"
                                                   : "inflates to more than its header tells of",
              kDamagedRemedy);
}

}  // namespace microvm
