// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/ioas.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <cerrno>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "vmm/host/memory_mapping.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::ChainOf;
using fakes::Contains;
using fakes::kCanName;

// A board with a CAN controller that iommufd takes.
struct CdevBoard : Board {
  CdevBoard() { AddCan(DmaMode::kIommu, 0); }
};

std::string Complaint(Board& board) {
  std::string chain = ChainOf([&] {
    const Fd iommufd = Ioas::OpenIommufd(board.kernel);
    Ioas ioas(iommufd, board.sysfs);
    const Fd device = ioas.OpenDevice(board.sysfs.Find(kCanName));
  });
  CHECK(board.kernel.Live().empty());
  CHECK(board.kernel.violations().empty());
  return chain;
}

TEST_CASE("a device is bound to the iommufd and attached to its address space") {
  CdevBoard board;
  CHECK(Complaint(board) == "");
  CHECK(fakes::Lines(board.kernel.log()) ==
        "open /dev/iommu\nIOMMU_IOAS_ALLOC\nopen /dev/vfio/devices/vfio0\n"
        "VFIO_DEVICE_BIND_IOMMUFD\nVFIO_DEVICE_ATTACH_IOMMUFD_PT\n"
        "close ff070000.canfd\nclose iommufd\n");
}

TEST_CASE("a host without iommufd says what it takes") {
  CdevBoard board;
  board.kernel.host.iommufd_error = ENOENT;
  CHECK(Complaint(board) ==
        "this host offers no iommufd\n"
        "  open /dev/iommu: No such file or directory\n"
        "to fix it:\n"
        "  the kernel needs CONFIG_IOMMUFD; backend = \"group\" does without\n");
}

TEST_CASE("a user who may not open iommufd is told so") {
  CdevBoard board;
  board.kernel.host.iommufd_error = EACCES;
  CHECK(Complaint(board) ==
        "no permission to use iommufd\n"
        "  open /dev/iommu: Permission denied\n"
        "to fix it:\n"
        "  run as root, or have a launcher pass iommu_fd and device_fd\n");
}

TEST_CASE("a device without a character device says what makes one") {
  Board board;
  board.AddCan();
  const std::string complaint = Complaint(board);
  CHECK(Contains(complaint, "VFIO has made no character device for it\n"));
  CHECK(Contains(complaint, "CONFIG_VFIO_DEVICE_CDEV"));
}

TEST_CASE("no permission for a character device says whose it should be") {
  CdevBoard board;
  board.kernel.host.cdev_error = EACCES;
  CHECK(Contains(Complaint(board), "run as root, or: chown USER " +
                                       (board.host.root() / "dev/vfio/devices/vfio0").string()));
}

TEST_CASE("an IOMMU that does not isolate MSIs has iommufd's remedy") {
  CdevBoard board;
  board.kernel.host.isolates_msi = false;
  const std::string complaint = Complaint(board);
  CHECK(Contains(complaint, "does not isolate message-signalled interrupts"));
  CHECK(Contains(complaint, "VFIO_DEVICE_BIND_IOMMUFD: Operation not permitted"));
  CHECK(Contains(complaint, "iommufd.allow_unsafe_interrupts=1"));
}

TEST_CASE("iommufd's EPERM is the group's, too") {
  CdevBoard board;
  board.kernel.host.not_viable = {{7, true}};
  board.host.AddDevice({.name = "ff060000.canfd", .driver = "xilinx_can", .group = 7});
  const std::string complaint = Complaint(board);
  CHECK(Contains(complaint, "its IOMMU group 7 is not viable"));
  CHECK(Contains(complaint, "VFIO_DEVICE_BIND_IOMMUFD: Operation not permitted"));
  CHECK(Contains(complaint, "  microvm device bind ff060000.canfd\n"));
}

TEST_CASE("an IOMMU that is not coherent is for the group") {
  CdevBoard board;
  board.kernel.host.coherent_iommu = false;
  const std::string complaint = Complaint(board);
  CHECK(Contains(complaint, "iommufd does not take it\n"));
  CHECK(Contains(complaint, "backend = \"group\""));
}

TEST_CASE("a device in use names the process that has its group or its character device") {
  CdevBoard board;
  board.kernel.FailMatching("VFIO_DEVICE_BIND_IOMMUFD", EBUSY);
  board.host.AddProcess(4711, "microvm", (board.host.root() / "dev/vfio/devices/vfio0").string());
  board.host.AddProcess(4712, "qemu", (board.host.root() / "dev/vfio/7").string());
  const std::string complaint = Complaint(board);
  CHECK(Contains(complaint, "is already in use by process\n  4712 (qemu)\n  4711 (microvm)\n"));
}

TEST_CASE("a device that cannot be opened for another reason says where to look") {
  CdevBoard board;
  board.kernel.FailMatching("VFIO_DEVICE_BIND_IOMMUFD", ENODEV);
  CHECK(Contains(Complaint(board), "dmesg | tail"));
}

TEST_CASE("a device that cannot be attached speaks of its group") {
  CdevBoard board;
  board.kernel.FailMatching("VFIO_DEVICE_ATTACH_IOMMUFD_PT", EINVAL);
  CHECK(Contains(Complaint(board), "every device of its IOMMU group"));
}

TEST_CASE("an iommufd that is something else is asked about") {
  CdevBoard board;
  const Fd file = OpenFd(board.kernel, "/dev/vfio/devices/vfio0", O_RDWR);
  CHECK(
      Contains(ChainOf([&] { Ioas(file, board.sysfs); }),
               "iommufd gives no address space\n  IOMMU_IOAS_ALLOC: Invalid argument\nto fix it:\n"
               "  if its descriptor was passed in, was it that of an open /dev/iommu?\n"));
}

TEST_CASE("a descriptor that is passed in must be the device's") {
  CdevBoard board;
  const Fd iommufd = Ioas::OpenIommufd(board.kernel);
  Ioas ioas(iommufd, board.sysfs);
  const HostDevice device = board.sysfs.Find(kCanName);
  CHECK(ioas.AdoptDevice(OpenFd(board.kernel, "/dev/vfio/devices/vfio0", O_RDWR), device));
  const std::string path = board.host.Write("file", "no device").string();
  CHECK(Contains(ChainOf([&] { ioas.AdoptDevice(OpenFd(board.kernel, path, O_RDWR), device); }),
                 "is not the VFIO device of 'ff070000.canfd'\nto fix it:\n  pass the open "));
  board.host.Write("sys/devices/ff070000.canfd/vfio-dev/vfio0/dev", "511:0\n");
  CHECK(Contains(ChainOf([&] {
                   ioas.AdoptDevice(OpenFd(board.kernel, "/dev/vfio/devices/vfio0", O_RDWR),
                                    device);
                 }),
                 "is not the VFIO device of"));
}

TEST_CASE("RAM is mapped at its guest address, once") {
  CdevBoard board;
  const Fd iommufd = Ioas::OpenIommufd(board.kernel);
  Ioas ioas(iommufd, board.sysfs);
  const Fd device = ioas.OpenDevice(board.sysfs.Find(kCanName));
  const auto memory = MemoryMapping::Anonymous(board.kernel, 0x10000, 0x1000, 0);
  const AddressRange guest({0x4000'0000}, 0x10000);
  ioas.MapDma(guest, memory.data());
  REQUIRE(board.kernel.DmaMappings().size() == 1);
  CHECK(board.kernel.DmaMappings()[0][0] == 0x4000'0000);
  CHECK(board.kernel.DmaMappings()[0][1] == 0x10000);
  const std::string complaint = ChainOf([&] { ioas.MapDma(guest, memory.data()); });
  CHECK(Contains(complaint,
                 "cannot map the guest's memory for DMA at 0x40000000-0x4000ffff\n"
                 "  IOMMU_IOAS_MAP: File exists\n"));
  CHECK(Contains(complaint, "ulimit -l unlimited"));
}

TEST_CASE("what can be mapped is told, however many windows are reserved") {
  for (const unsigned windows : {0U, 1U, 40U}) {
    CdevBoard board;
    board.kernel.host.last_iova = ~std::uint64_t{0};
    for (unsigned index = 0; index < windows; ++index) {
      board.kernel.host.reserved_iova.emplace_back(0x800'0000 + 0x10'0000 * index,
                                                   0x808'0000 + 0x10'0000 * index);
    }
    const Fd iommufd = Ioas::OpenIommufd(board.kernel);
    Ioas ioas(iommufd, board.sysfs);
    const auto ranges = ioas.MappableRanges();
    REQUIRE(ranges.size() == windows + 1);
    CHECK(ranges.front().start().value == 0);
    CHECK(ranges.back().last().value >= ~std::uint64_t{0} - 1);
    if (windows > 0) CHECK(ranges.front().last().value == 0x7ff'ffff);
  }
}

}  // namespace
}  // namespace microvm
