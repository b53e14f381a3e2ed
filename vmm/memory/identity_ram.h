// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "vmm/host/memory_mapping.h"
#include "vmm/memory/address_range.h"

namespace microvm {

struct IdentityRamOptions {
  std::string path;  // of a file in a hugetlbfs
  std::uint64_t size_bytes = 0;
  std::uint64_t page_bytes = 0;           // of that hugetlbfs; divides size_bytes
  std::vector<std::string> devices = {};  // that can reach the RAM
  bool loose = false;                     // one of them is never brought to rest
};

// RAM for devices that reach memory without an IOMMU: huge pages of the host, each of which the
// guest sees at its physical address.
//
// The pages belong to a file, and a file of hugetlbfs keeps its pages until it is removed. That is
// what stands between a device that still writes and the host's memory when the program is killed:
// the next start finds the file, with the same pages at the same addresses. It is removed by the
// destructor, unless a device may still reach it. Which devices can is noted beside it, by empty
// files named PATH@DEVICE: only a machine that has all of them can bring them all to rest.
//
// Huge pages do not move by themselves: Linux compacts memory around them. They are moved where
// memory is taken offline or contiguous memory is asked for (mm/memory_hotplug.c,
// mm/compaction.c: isolate_or_dissolve_huge_page), and by move_pages(2) and the like. mlock(2) is
// no protection from that; a long-term pin is, as its reference makes each migration fail
// (mm/migrate.c: migrate_huge_page_move_mapping). io_uring's registered buffers are one
// (io_uring/rsrc.c: io_pin_pages), and move pages out of movable zones when they are made, so that
// addresses are read afterwards. The pin ends with the process, the file does not.
class IdentityRam {
 public:
  // Opens the file, or makes it, for this process alone. Throws a chain with the remedy; a file
  // that was made for it is removed then.
  IdentityRam(HostKernel& kernel, const IdentityRamOptions& options);

  // The physical addresses, in ascending order; neighbours are one range.
  [[nodiscard]] const std::vector<AddressRange>& ranges() const { return ranges_; }
  // The memory, range by range.
  [[nodiscard]] std::span<std::byte> bytes() const { return pages_.bytes(); }
  // Whether the file was there: then it is not cleared, and a device may be writing to it.
  [[nodiscard]] bool left_over() const { return file_.left_over(); }

  // From here on a device may reach the RAM, and it is kept.
  void Keep() { file_.Keep(); }
  // Every device that could reach it is at rest.
  void GiveBack() { file_.GiveBack(); }

 private:
  // The file and the lock on it.
  class LockedFile {
   public:
    LockedFile(HostKernel& kernel, const IdentityRamOptions& options);
    LockedFile(const LockedFile&) = delete;
    LockedFile& operator=(const LockedFile&) = delete;
    LockedFile(LockedFile&&) = delete;
    LockedFile& operator=(LockedFile&&) = delete;
    ~LockedFile();

    [[nodiscard]] const Fd& fd() const { return fd_; }
    [[nodiscard]] bool left_over() const { return left_over_; }
    void Keep() { kept_ = true; }
    void GiveBack() { kept_ = false; }
    // To be done before the file has a page.
    void NoteDevices(HostKernel& kernel, const std::vector<std::string>& devices);

   private:
    void CheckFileSystem(HostKernel& kernel, const IdentityRamOptions& options) const;
    void CheckLeftOver(std::uint64_t size_bytes, const IdentityRamOptions& options) const;
    // Those noted, sorted.
    [[nodiscard]] std::vector<std::string> NotedDevices() const;
    void Remove(const std::string& path) const noexcept;

    std::string path_;
    std::vector<std::string> notes_;  // paths
    Fd fd_;
    bool left_over_ = false;
    bool kept_ = false;
  };

  void ReadAddresses(HostKernel& kernel, const IdentityRamOptions& options);

  LockedFile file_;
  Fd pin_;
  MemoryMapping pages_;
  std::vector<AddressRange> ranges_;
};

}  // namespace microvm
