// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/file.h"

#include <doctest/doctest.h>
#include <linux/kvm.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"
#include "tests/fakes/host_tree.h"
#include "vmm/host/fd.h"
#include "vmm/host/linux_kernel.h"
#include "vmm/host/memory_mapping.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::FakeKernel;
using fakes::TemporaryFolder;

TEST_CASE("a file is read whole, whatever its length") {
  const TemporaryFolder folder;
  for (const std::size_t length : {0U, 1U, 4095U, 4096U, 4097U, 100'000U}) {
    const std::string content(length, 'x');
    const auto path = folder.Write("file", content);
    CHECK(ReadTextFile(path.string()) == content);
    CHECK(ReadFile(path.string()).size() == length);
  }
}

TEST_CASE("a file that cannot be read or written is named") {
  CHECK(ChainOf([] { return ReadFile("/nonexistent/x"); }) ==
        "open /nonexistent/x: No such file or directory\n");
  CHECK(Contains(ChainOf([] { return ReadFile("/tmp"); }), "read /tmp: Is a directory"));
  CHECK(ChainOf([] { WriteFile("/nonexistent/x", ""); }) ==
        "open /nonexistent/x: No such file or directory\n");
  CHECK(ChainOf([] { WriteAttribute("/nonexistent/x", "1"); }) ==
        "open /nonexistent/x: No such file or directory\n");
  CHECK(Contains(ChainOf([] { WriteFile("/dev/full", "x"); }),
                 "write /dev/full: No space left on device"));
  CHECK(Contains(ChainOf([] { WriteAttribute("/dev/full", "x"); }),
                 "write /dev/full: No space left on device"));
}

TEST_CASE("what has no end, or nobody at its other end, is an error and not a wait") {
  CHECK(ChainOf([] { return ReadFile("/dev/zero"); }) == "/dev/zero is larger than 64 MiB\n");
  const TemporaryFolder folder;
  const std::string fifo = (folder.path() / "fifo").string();
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(ChainOf([&] { WriteFile(fifo, "x"); }) == "open " + fifo + ": No such device or address\n");
}

TEST_CASE("writing a file makes it, or replaces what it held") {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "new").string();
  WriteFile(path, "something long");
  WriteFile(path, "short");
  CHECK(ReadTextFile(path) == "short");
}

TEST_CASE("an attribute is only written where it is") {
  const TemporaryFolder folder;
  CHECK(ChainOf([&] { WriteAttribute((folder.path() / "none").string(), "1"); }) != "");
  CHECK_FALSE(std::filesystem::exists(folder.path() / "none"));
}

TEST_CASE("a descriptor is closed once, by its last owner") {
  FakeKernel kernel;
  {
    Fd first = MakeEventFd(kernel);
    Fd second = std::move(first);
    CHECK_FALSE(static_cast<bool>(first));  // NOLINT(bugprone-use-after-move): that is the test
    first = std::move(second);
    CHECK(static_cast<bool>(first));
  }
  CHECK(kernel.log() == std::vector<std::string>{"eventfd", "close eventfd"});
  CHECK(kernel.violations().empty());
}

TEST_CASE("a descriptor that is assigned over is closed") {
  FakeKernel kernel;
  Fd keeper = MakeEventFd(kernel);
  keeper = MakeEventFd(kernel);
  CHECK(kernel.Live().size() == 1);
}

TEST_CASE("an eventfd that cannot be made is an error by its name") {
  FakeKernel kernel;
  kernel.FailMatching("eventfd", EMFILE);
  CHECK(Contains(ChainOf([&] { return MakeEventFd(kernel); }), "eventfd: Too many open files\n"));
}

TEST_CASE("an ioctl that fails is named, one that succeeds gives its result") {
  FakeKernel kernel;
  const Fd kvm = OpenFd(kernel, "/dev/kvm", 2);
  CHECK(CheckedIoctl(kvm, IOCTL_CODE(KVM_GET_API_VERSION)) == KVM_API_VERSION);
  CHECK(ChainOf([&] { return CheckedIoctl(kvm, IOCTL_CODE(KVM_RUN)); }) ==
        "KVM_RUN: Invalid argument\n");
}

TEST_CASE("a mapping is aligned as asked, and all of what was reserved for it given back") {
  FakeKernel kernel;
  for (const std::size_t alignment : {0x1000U, 0x10000U, 0x200000U}) {
    const auto mapping = MemoryMapping::Anonymous(kernel, 0x3000, alignment, 0);
    CHECK(reinterpret_cast<std::uintptr_t>(mapping.data()) % alignment == 0);
    CHECK(mapping.bytes().size() == 0x3000);
    CHECK(kernel.Live().size() == 1);
  }
  CHECK(kernel.Live().empty());
  CHECK(kernel.violations().empty());
}

TEST_CASE("a mapping moves, and is unmapped once") {
  FakeKernel kernel;
  {
    MemoryMapping first = MemoryMapping::Anonymous(kernel, 0x1000, 0x1000, 0);
    MemoryMapping second = std::move(first);
    MemoryMapping third;
    third = std::move(second);
    CHECK(third.bytes().size() == 0x1000);
  }
  CHECK(kernel.Live().empty());
  CHECK(kernel.violations().empty());
}

TEST_CASE("the real kernel answers as the system does") {
  LinuxKernel kernel;
  CHECK(kernel.Open("/nonexistent", 0) == -1);
  CHECK(errno == ENOENT);
  const unsigned absurd = 1'000'000;
  CHECK(kernel.SetAffinity(0, {&absurd, 1}) == -1);
  CHECK(errno == EINVAL);
  CHECK(kernel.SetScheduler(0, 0, 99) == -1);
  const Fd file = OpenFd(kernel, "/proc/self/exe", 0);
  struct stat status {};
  CHECK(kernel.Fstat(file.get(), &status) == 0);
  CHECK(status.st_size > 0);
  const auto mapping = MemoryMapping::Anonymous(kernel, 0x1000, 0x1000, 0);
  CHECK(kernel.Mlock(mapping.data(), 0x1000) == 0);
}

}  // namespace
}  // namespace microvm
