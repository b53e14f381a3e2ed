// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/disk_image.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/host/linux_kernel.h"

namespace microvm {
namespace {

using fakes::Contains;

std::string ComplaintOf(HostKernel& kernel, const DiskOptions& options) {
  return fakes::ChainOf([&] { return DiskImage(kernel, options).size_bytes(); });
}
std::string Complaint(const DiskOptions& options) {
  LinuxKernel kernel;
  return ComplaintOf(kernel, options);
}

TEST_CASE("who writes to a disk has it alone; readers share it") {
  const fakes::TemporaryFolder folder;
  const std::string path = folder.Write("disk", std::string(4096, 'D'));
  LinuxKernel kernel;
  {
    const DiskImage writer(kernel, {.path = path});
    CHECK(Contains(Complaint({.path = path}), "disks, has it"));
    CHECK(Contains(Complaint({.path = path, .readonly = true}), "disks, writes to it"));
  }
  const DiskImage reader(kernel, {.path = path, .readonly = true});
  CHECK(Complaint({.path = path, .readonly = true}) == "");
  CHECK(Contains(Complaint({.path = path}), "disks, has it"));
}

TEST_CASE("what can be no disk is refused, by name and with the remedy") {
  const fakes::TemporaryFolder folder;
  const std::string empty = folder.Write("empty", std::string_view("less than a sector"));
  CHECK(Contains(Complaint({.path = empty}), "disk " + empty + "\n  it is empty\n"));
  CHECK(Contains(Complaint({.path = folder.path() / "none"}), "No such file or directory"));
  CHECK(Contains(Complaint({.path = folder.path(), .readonly = true}),
                 "it is neither a file nor a block device"));
  CHECK(Contains(Complaint({.path = "/dev/null"}), "it is neither a file nor a block device"));
  // To open it would wait for a writer.
  const std::string fifo = folder.path() / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(Contains(Complaint({.path = fifo, .readonly = true}),
                 "it is neither a file nor a block device"));
}

// Opens nothing with any of these flags.
class RefusingKernel final : public LinuxKernel {
 public:
  RefusingKernel(int flags, int error) : flags_(flags), error_(error) {}
  int Open(const char* path, int flags) override {
    if ((flags & flags_) == 0) return LinuxKernel::Open(path, flags);
    errno = error_;
    return -1;
  }

 private:
  int flags_;
  int error_;
};

TEST_CASE("what keeps a disk from being opened is told with its own remedy") {
  const fakes::TemporaryFolder folder;
  const std::string path = folder.Write("disk", std::string(4096, 'D'));
  RefusingKernel in_use(O_RDWR, EBUSY);
  CHECK(Contains(ComplaintOf(in_use, {.path = path}),
                 "the host uses it\n    open " + path + ": Device or resource busy"));
  CHECK(Contains(ComplaintOf(in_use, {.path = path}), "lsblk " + path));
  RefusingKernel forbidden(O_RDWR, EACCES);
  CHECK(Contains(ComplaintOf(forbidden, {.path = path}), "or write readonly = true"));
  RefusingKernel cached(O_DIRECT, EINVAL);
  CHECK(ComplaintOf(cached, {.path = path}) == "");
  const std::string chain = ComplaintOf(cached, {.path = path, .direct = true});
  CHECK(Contains(chain, "it cannot be used past the page cache\n"));
  CHECK(Contains(chain, "Invalid argument"));
  CHECK(Contains(chain, "remove 'direct' if its file system has no O_DIRECT"));
}

}  // namespace
}  // namespace microvm
