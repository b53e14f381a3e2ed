// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/error.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <system_error>

#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;

TEST_CASE("a failed system call prints its name and what errno means") {
  CHECK(ChainOf([] { ThrowErrno(ENODEV, "KVM_CREATE_VM"); }) == "KVM_CREATE_VM: No such device\n");
}

TEST_CASE("ThrowErrno without a number takes errno") {
  errno = EBUSY;
  CHECK(ChainOf([] { ThrowErrno("open /dev/vfio/7"); }) ==
        "open /dev/vfio/7: Device or resource busy\n");
}

TEST_CASE("a chain prints outermost first, each link indented below the one before") {
  CHECK(ChainOf([] {
          WithContext(Error("outer"),
                      [] { WithContext(Error("middle"), [] { ThrowErrno(EPERM, "inner"); }); });
        }) == "outer\n  middle\n    inner: Operation not permitted\n");
}

TEST_CASE("remedies follow the chain, in its order") {
  CHECK(ChainOf([] {
          WithContext(Error("outer", "do this"), [] { throw Error("inner", "or this\nand that"); });
        }) == "outer\n  inner\nto fix it:\n  do this\nto fix it:\n  or this\n  and that\n");
}

TEST_CASE("of too many open files the limit is the remedy, whatever was being opened") {
  const auto complaint = [](int error) {
    return ChainOf([&] {
      WithContext(Error("it cannot be opened", "correct the path"),
                  [&] { ThrowErrno(error, "open /x"); });
    });
  };
  CHECK(complaint(EMFILE) ==
        "it cannot be opened\n  open /x: Too many open files\n"
        "to fix it:\n  allow this process more open files: ulimit -n 4096\n");
  CHECK(complaint(ENFILE) ==
        "it cannot be opened\n  open /x: Too many open files in system\n"
        "to fix it:\n  allow the host more open files: sysctl -w fs.file-max=N\n");
  CHECK(Contains(complaint(ENOENT), "correct the path"));
}

TEST_CASE("a message of several lines keeps its indentation in the chain") {
  CHECK(ChainOf([] { WithContext(Error("top"), [] { throw Error("one\ntwo"); }); }) ==
        "top\n  one\n  two\n");
}

TEST_CASE("WithContext hands the result through, references included") {
  int value = 5;
  int& same = WithContext(Error("unused"), [&]() -> int& { return value; });
  CHECK(&same == &value);
}

TEST_CASE("ErrnoOf finds the innermost errno of a chain") {
  const auto errno_of = [](auto&& body) {
    try {
      body();
    } catch (const std::exception& error) {
      return ErrnoOf(error);
    }
    return -1;
  };
  CHECK(errno_of([] { WithContext(Error("x"), [] { ThrowErrno(EAGAIN, "y"); }); }) == EAGAIN);
  CHECK(errno_of([] { throw Error("no errno here"); }) == 0);
}

TEST_CASE("Hex prints without leading zeros") {
  CHECK(Hex(0) == "0x0");
  CHECK(Hex(0xff070000) == "0xff070000");
  CHECK(Hex(UINT64_MAX) == "0xffffffffffffffff");
}

}  // namespace
}  // namespace microvm
