// SPDX-License-Identifier: Apache-2.0
#include "vmm/memory/identity_ram.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr char kNote = '@';

// io_uring/rsrc.c: io_buffer_validate.
constexpr std::size_t kLargestBuffer = std::size_t{1} << 30;

// Documentation/admin-guide/mm/pagemap.rst.
constexpr std::uint64_t kPagePresent = std::uint64_t{1} << 63;
constexpr std::uint64_t kFrameNumber = (std::uint64_t{1} << 55) - 1;

std::string Folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

std::string MountRemedy(const IdentityRamOptions& options, const std::string& folder) {
  return "mkdir -p " + folder +
         " && mount -t hugetlbfs -o pagesize=" + std::to_string(options.page_bytes >> 10) +
         "K none " + folder;
}

// A folder that is used for something else already stays as it is.
std::string OtherFolderRemedy(const IdentityRamOptions& options) {
  const std::string folder = "/run/hugepages-" + std::to_string(options.page_bytes >> 10) + "K";
  return MountRemedy(options, folder) + "\nand write memory.identity_file = \"" + folder + "/vm\"";
}

std::string PagesRemedy(const IdentityRamOptions& options) {
  const std::string pages = std::to_string(options.size_bytes / options.page_bytes);
  const std::string kib = std::to_string(options.page_bytes >> 10);
  return "echo " + pages + " > /sys/kernel/mm/hugepages/hugepages-" + kib +
         "kB/nr_hugepages\nor, for fewer and larger pieces, on the kernel's command line: "
         "hugepagesz=" +
         kib + "K hugepages=" + pages;
}

// Keeps the pages where they are for as long as the descriptor is open.
Fd Pin(HostKernel& kernel, std::span<std::byte> memory) {
  const Error context("cannot pin the guest's memory",
                      "EPERM: allow io_uring (sysctl kernel.io_uring_disabled=0); ENOMEM: raise "
                      "the limit on locked memory (ulimit -l unlimited) or run as root");
  return WithContext(context, [&] {
    const int raw = kernel.IoUringSetup();
    if (raw < 0) ThrowErrno("io_uring_setup");
    Fd ring(kernel, raw);
    std::vector<iovec> buffers;
    for (std::size_t at = 0; at < memory.size(); at += kLargestBuffer) {
      const auto part = memory.subspan(at, std::min(kLargestBuffer, memory.size() - at));
      buffers.push_back({part.data(), part.size()});
    }
    if (kernel.IoUringRegisterBuffers(ring.get(), buffers) != 0) ThrowErrno("io_uring_register");
    return ring;
  });
}

// The physical address of each huge page of `memory`.
std::vector<std::uint64_t> PhysicalAddresses(HostKernel& kernel, std::span<const std::byte> memory,
                                             std::uint64_t page_bytes) {
  const auto small_page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const Fd pagemap = WithContext(Error("the kernel does not tell where memory is",
                                       "ENOENT: it needs CONFIG_PROC_PAGE_MONITOR"),
                                 [&] { return OpenFd(kernel, "/proc/self/pagemap", O_RDONLY); });
  std::vector<std::uint64_t> addresses;
  for (std::size_t at = 0; at < memory.size(); at += page_bytes) {
    const auto virtual_page = reinterpret_cast<std::uintptr_t>(&memory[at]) / small_page;
    std::uint64_t entry = 0;
    const auto offset = static_cast<off_t>(virtual_page * sizeof(entry));
    const ssize_t count = kernel.Pread(pagemap.get(), &entry, sizeof(entry), offset);
    if (count < 0) ThrowErrno("pread /proc/self/pagemap");
    if (count != sizeof(entry) || (entry & kPagePresent) == 0) {
      throw Error("the kernel gave no page for byte " + Hex(at) + " of the guest's memory");
    }
    addresses.push_back((entry & kFrameNumber) * small_page);
  }
  // One page may well be at address 0; all of them are for users who may not know.
  if (std::all_of(addresses.begin(), addresses.end(), [](auto address) { return address == 0; })) {
    throw Error("the kernel does not tell this user where memory is",
                "run as root: physical addresses are for CAP_SYS_ADMIN alone");
  }
  return addresses;
}

std::vector<AddressRange> MergePages(const std::vector<std::uint64_t>& ascending,
                                     std::uint64_t page_bytes) {
  std::vector<AddressRange> ranges;
  for (const std::uint64_t address : ascending) {
    if (!ranges.empty() && ranges.back().last().value + 1 == address) {
      ranges.back() = {ranges.back().start(), ranges.back().size_bytes() + page_bytes};
    } else {
      ranges.emplace_back(GuestAddress{address}, page_bytes);
    }
  }
  return ranges;
}

}  // namespace

IdentityRam::LockedFile::LockedFile(HostKernel& kernel, const IdentityRamOptions& options)
    : path_(options.path) {
  CheckFileSystem(kernel, options);
  fd_ = OpenFd(kernel, path_, O_RDWR | O_CREAT | O_NOFOLLOW);
  if (kernel.Flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) ThrowErrno("flock");
    throw Error("another process has it: a machine that runs, or is about to",
                "stop that machine, or give this one a file of its own");
  }
  struct stat status {};
  if (kernel.Fstat(fd_.get(), &status) != 0) ThrowErrno("fstat");
  if (status.st_nlink == 0) {
    throw Error("its last user has just removed it", "start the machine again");
  }
  left_over_ = status.st_size != 0;
  kept_ = left_over_;
  if (left_over_) CheckLeftOver(static_cast<std::uint64_t>(status.st_size), options);
}

void IdentityRam::LockedFile::CheckLeftOver(std::uint64_t size_bytes,
                                            const IdentityRamOptions& options) const {
  constexpr const char* kLeftOver =
      "it is left over from a machine that was killed, whose devices may still write to it, and "
      "which had ";
  if (options.loose) {
    throw Error(
        "it is left over from an earlier run, and with reset = \"none\" nothing keeps a device "
        "from writing to it",
        "if its devices are at rest: rm " + path_);
  }
  const std::string remedy = "; or, if its devices are at rest: rm " + path_;
  if (size_bytes != options.size_bytes) {
    throw Error(kLeftOver + std::to_string(size_bytes >> 20) + " MiB, not " +
                    std::to_string(options.size_bytes >> 20),
                "start it once with memory.size as it was" + remedy);
  }
  for (const std::string& device : NotedDevices()) {
    if (std::find(options.devices.begin(), options.devices.end(), device) !=
        options.devices.end()) {
      continue;
    }
    throw Error(kLeftOver + ("'" + device + "'"),
                "start it once with the devices that it had" + remedy);
  }
}

void IdentityRam::LockedFile::NoteDevices(HostKernel& kernel,
                                          const std::vector<std::string>& devices) {
  if (!left_over_) {
    for (const std::string& device : NotedDevices()) Remove(path_ + kNote + device);
  }
  for (const std::string& device : devices) {
    notes_.push_back(path_ + kNote + device);
    OpenFd(kernel, notes_.back(), O_RDWR | O_CREAT | O_NOFOLLOW);
  }
}

std::vector<std::string> IdentityRam::LockedFile::NotedDevices() const {
  const std::string prefix = path_.substr(path_.rfind('/') + 1) + kNote;
  std::vector<std::string> devices;
  for (const auto& entry : std::filesystem::directory_iterator(Folder(path_))) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix)) devices.push_back(name.substr(prefix.size()));
  }
  std::sort(devices.begin(), devices.end());
  return devices;
}

void IdentityRam::LockedFile::Remove(const std::string& path) const noexcept {
  if (fd_.kernel().Unlink(path.c_str()) == 0) return;
  std::fprintf(stderr, "microvm: unlink %s: %s\n", path.c_str(),
               std::generic_category().message(errno).c_str());
}

IdentityRam::LockedFile::~LockedFile() {
  if (kept_) {
    std::fprintf(stderr,
                 "microvm: %s is kept, and its huge pages with it: a device may still write to "
                 "them; the next start brings devices to rest that have a reset; if they are at "
                 "rest: rm %s\n",
                 path_.c_str(), path_.c_str());
    return;
  }
  // While the lock is on the file that others find.
  for (const std::string& note : notes_) Remove(note);
  Remove(path_);
}

void IdentityRam::LockedFile::CheckFileSystem(HostKernel& kernel,
                                              const IdentityRamOptions& options) const {
  const std::string folder = Folder(path_);
  std::error_code error;
  if (std::filesystem::is_directory(path_, error)) {
    throw Error("it is a folder", "write the name of a file in it: " + path_ + "/vm");
  }
  struct statfs file_system {};
  WithContext(Error("there is no folder " + folder, MountRemedy(options, folder)), [&] {
    const Fd fd = OpenFd(kernel, folder, O_RDONLY | O_DIRECTORY);
    if (kernel.Fstatfs(fd.get(), &file_system) != 0) ThrowErrno("fstatfs");
  });
  if (!std::cmp_equal(file_system.f_type, HUGETLBFS_MAGIC)) {
    const bool unused = std::filesystem::is_empty(folder, error);
    throw Error(folder + " is no hugetlbfs",
                unused ? MountRemedy(options, folder) : OtherFolderRemedy(options));
  }
  if (!std::cmp_equal(file_system.f_bsize, options.page_bytes)) {
    throw Error(
        folder + " has huge pages of " + std::to_string(file_system.f_bsize >> 10) +
            " KiB, memory.hugepages is " + std::to_string(options.page_bytes >> 10) + " KiB",
        "write memory.hugepages as it is there, or mount another: " + OtherFolderRemedy(options));
  }
}

IdentityRam::IdentityRam(HostKernel& kernel, const IdentityRamOptions& options)
    : file_(kernel, options) {
  file_.NoteDevices(kernel, options.devices);
  if (!left_over() &&
      kernel.Ftruncate(file_.fd().get(), static_cast<off_t>(options.size_bytes)) != 0) {
    ThrowErrno("ftruncate");
  }
  ReadAddresses(kernel, options);
}

void IdentityRam::ReadAddresses(HostKernel& kernel, const IdentityRamOptions& options) {
  const std::uint64_t page_bytes = options.page_bytes;
  std::vector<std::pair<std::uint64_t, off_t>> pages;  // physical address, place in the file
  {
    // ENOMEM here and not a SIGBUS later: hugetlbfs reserves for a whole mapping.
    const MemoryMapping in_file_order =
        WithContext(Error("too few free huge pages of " + std::to_string(page_bytes >> 10) + " KiB",
                          PagesRemedy(options)),
                    [&] { return MemoryMapping::OfFile(file_.fd(), options.size_bytes, 0); });
    pin_ = Pin(kernel, in_file_order.bytes());
    off_t offset = 0;
    for (const auto address : PhysicalAddresses(kernel, in_file_order.bytes(), page_bytes)) {
      pages.emplace_back(address, offset);
      offset += static_cast<off_t>(page_bytes);
    }
  }
  std::sort(pages.begin(), pages.end());
  std::vector<std::uint64_t> addresses;
  std::vector<off_t> offsets;
  for (const auto& [address, offset] : pages) {
    addresses.push_back(address);
    offsets.push_back(offset);
  }
  pages_ = MemoryMapping::OfFilePages(file_.fd(), offsets, page_bytes);
  // What the guest will have, and not what should lead to it, is checked.
  if (PhysicalAddresses(kernel, pages_.bytes(), page_bytes) != addresses) {
    throw Error("the kernel has moved huge pages although they are pinned");
  }
  ranges_ = MergePages(addresses, page_bytes);
}

}  // namespace microvm
