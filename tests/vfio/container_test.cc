// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/container.h"

#include <doctest/doctest.h>

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
using fakes::kTimerName;

// What opening the CAN controller through a container of its own complains about.
std::string CanComplaint(Board& board) {
  board.AddCan();
  std::string chain = ChainOf([&] {
    VfioContainer container(board.kernel, board.sysfs, IommuType::kType1);
    return container.OpenDevice(board.sysfs.Find(kCanName));
  });
  CHECK(board.kernel.Live().empty());
  CHECK(board.kernel.violations().empty());
  return chain;
}

TEST_CASE("a host without VFIO says what it takes") {
  Board board;
  board.kernel.host.vfio_error = ENOENT;
  CHECK(CanComplaint(board) ==
        "this host offers no VFIO\n"
        "  open /dev/vfio/vfio: No such file or directory\n"
        "to fix it:\n"
        "  the kernel needs CONFIG_VFIO, CONFIG_VFIO_CONTAINER and CONFIG_VFIO_PLATFORM; modprobe "
        "vfio vfio-platform\n");
}

TEST_CASE("a user who may not open VFIO is told so") {
  Board board;
  board.kernel.host.vfio_error = EACCES;
  CHECK(CanComplaint(board) ==
        "no permission to use VFIO\n"
        "  open /dev/vfio/vfio: Permission denied\n"
        "to fix it:\n"
        "  run as root\n");
}

TEST_CASE("another VFIO is refused") {
  Board board;
  board.kernel.host.vfio_version = 1;
  CHECK(CanComplaint(board) == "VFIO has API version 1, not 0\n");
}

TEST_CASE("a group in use names the process that has it") {
  Board board;
  board.kernel.host.group_errors = {{7, EBUSY}};
  const std::string path = (board.host.root() / "dev/vfio/7").string();
  board.host.AddProcess(4711, "microvm", path);
  board.host.AddProcess(4712, "qemu", path);
  CHECK(CanComplaint(board) ==
        "its IOMMU group is already in use by process\n"
        "  4711 (microvm)\n"
        "  4712 (qemu)\n"
        "  open " +
            path +
            ": Device or resource busy\n"
            "to fix it:\n  stop the process that has it\n");
}

TEST_CASE("a group in use by nobody that can be seen is still said to be in use") {
  Board board;
  board.kernel.host.group_errors = {{7, EBUSY}};
  CHECK(Contains(CanComplaint(board), "its IOMMU group is already in use\n"));
}

TEST_CASE("no permission for a group says whose it should be") {
  for (const int error : {EACCES, EPERM}) {
    Board board;
    board.kernel.host.group_errors = {{7, error}};
    const std::string complaint = CanComplaint(board);
    CHECK(Contains(complaint, "no permission to use its IOMMU group\n"));
    CHECK(Contains(complaint, "run as root, or: chown USER " + board.host.root().string()));
  }
}

TEST_CASE("no permission for a no-IOMMU group is a matter of capabilities") {
  Board board;
  board.AddTimer();
  board.kernel.host.raw_io = false;
  CHECK(Contains(ChainOf([&] {
                   VfioContainer container(board.kernel, board.sysfs, IommuType::kNoIommu);
                   return container.OpenDevice(board.sysfs.Find(kTimerName));
                 }),
                 "run as root (no-IOMMU groups need CAP_SYS_RAWIO)"));
}

TEST_CASE("a group that is not there asks whether the device is bound") {
  Board board;
  board.kernel.host.group_errors = {{7, ENOENT}};
  const std::string complaint = CanComplaint(board);
  CHECK(Contains(complaint, "its IOMMU group cannot be opened\n"));
  CHECK(Contains(complaint, "microvm device bind ff070000.canfd"));
}

TEST_CASE("a group that is not viable says who has the rest of it") {
  Board board;
  board.kernel.host.not_viable = {{7, true}};
  board.host.AddDevice({.name = "ff060000.canfd", .driver = "xilinx_can", .group = 7});
  board.host.AddDevice({.name = "ff080000.dma", .driver = "", .group = 7});
  CHECK(CanComplaint(board) ==
        "its IOMMU group 7 is not viable: a driver of the host has another device of it\n"
        "  ff060000.canfd (xilinx_can)\n"
        "to fix it:\n"
        "  take every device of the group from its driver:\n"
        "  microvm device bind ff060000.canfd\n");
}

TEST_CASE("a group that is not viable for no reason to be seen is named with its folder") {
  Board board;
  board.kernel.host.not_viable = {{7, true}};
  CHECK(Contains(CanComplaint(board),
                 "  take every device of the group from its driver:\n"
                 "  ls /sys/kernel/iommu_groups/7/devices\n"));
}

TEST_CASE("an IOMMU that does not isolate MSIs has its own remedy") {
  Board board;
  board.kernel.host.isolates_msi = false;
  const std::string complaint = CanComplaint(board);
  CHECK(Contains(complaint, "the host's IOMMU does not isolate message-signalled interrupts"));
  CHECK(Contains(complaint, "  VFIO_SET_IOMMU: Operation not permitted\n"));
  CHECK(Contains(complaint, "allow_unsafe_interrupts"));
}

TEST_CASE("an IOMMU that cannot be used for another reason says only that") {
  Board board;
  board.kernel.FailMatching("VFIO_SET_IOMMU", ENODEV);
  CHECK(CanComplaint(board) ==
        "the host's IOMMU cannot be used\n  VFIO_SET_IOMMU: No such device\n");
}

// What opening the timer, here behind an IOMMU of its own, says after the CAN controller is open.
std::string SecondGroupComplaint(int error) {
  Board board;
  board.AddCan();
  board.AddTimer();
  board.kernel.host.devices[1].group = 8;
  board.kernel.host.devices[1].no_iommu = false;
  VfioContainer container(board.kernel, board.sysfs, IommuType::kType1);
  const Fd can = container.OpenDevice(board.sysfs.Find(kCanName));
  HostDevice timer = board.sysfs.Find(kTimerName);
  timer.iommu_group = 8;
  timer.no_iommu = false;
  board.kernel.FailMatching("VFIO_GROUP_SET_CONTAINER", error);
  return ChainOf([&] { return container.OpenDevice(timer); });
}

TEST_CASE("a second IOMMU that the container does not take is named, with what to do") {
  CHECK(SecondGroupComplaint(EINVAL) ==
        "its IOMMU is of another kind than that of the devices before it\n"
        "  VFIO_GROUP_SET_CONTAINER: Invalid argument\n"
        "to fix it:\n"
        "  devices of one guest need IOMMUs that can share a mapping: leave one of them out; see: "
        "dmesg | tail\n");
  CHECK(Contains(SecondGroupComplaint(EPERM), "allow_unsafe_interrupts"));
  CHECK(Contains(SecondGroupComplaint(ENODEV),
                 "the host's IOMMU cannot be used\n  VFIO_GROUP_SET_CONTAINER: No such device\n"));
}

TEST_CASE("a no-IOMMU container without the capability says so") {
  Board board;
  board.AddTimer();
  board.kernel.FailMatching("VFIO_SET_IOMMU", EPERM);
  CHECK(Contains(ChainOf([&] {
                   VfioContainer container(board.kernel, board.sysfs, IommuType::kNoIommu);
                   return container.OpenDevice(board.sysfs.Find(kTimerName));
                 }),
                 "no-IOMMU access needs the capability CAP_SYS_RAWIO"));
}

TEST_CASE("a device that VFIO does not have is refused with where to look") {
  Board board;
  board.kernel.FailMatching("VFIO_GROUP_GET_DEVICE_FD", ENODEV);
  const std::string complaint = CanComplaint(board);
  CHECK(Contains(complaint, "the device cannot be opened\n"));
  CHECK(Contains(complaint, "dmesg | tail"));
}

struct MappedRam {
  explicit MappedRam(Board& board)
      : container(board.kernel, board.sysfs, IommuType::kType1),
        memory(MemoryMapping::Anonymous(board.kernel, 0x10000, 0x1000, 0)) {
    board.AddCan();
    device = container.OpenDevice(board.sysfs.Find(kCanName));
  }
  VfioContainer container;
  MemoryMapping memory;
  Fd device;
};

TEST_CASE("RAM is mapped for DMA at its guest address") {
  Board board;
  MappedRam ram(board);
  ram.container.MapDma(AddressRange({0x4000'0000}, 0x10000), ram.memory.data());
  CHECK(board.kernel.log().back() == "VFIO_IOMMU_MAP_DMA");
  CHECK(Contains(ChainOf([&] {
                   ram.container.MapDma(AddressRange({0x4000'f000}, 0x1000), ram.memory.data());
                 }),
                 "File exists"));
}

TEST_CASE("a mapping that fails names the range and both likely reasons") {
  Board board;
  board.kernel.host.reserved_iova = {{0x4000'8000, 0x4000'9000}};
  MappedRam ram(board);
  const std::string complaint = ChainOf(
      [&] { ram.container.MapDma(AddressRange({0x4000'0000}, 0x10000), ram.memory.data()); });
  CHECK(Contains(complaint,
                 "cannot map the guest's memory for DMA at 0x40000000-0x4000ffff\n"
                 "  VFIO_IOMMU_MAP_DMA: Invalid argument\n"));
  CHECK(Contains(complaint, "ulimit -l unlimited"));
  CHECK(Contains(complaint, "reserved_regions"));
}

TEST_CASE("what can be mapped leaves out what is reserved") {
  Board board;
  board.kernel.host.reserved_iova = {{0x800'0000, 0x810'0000}, {0x1'0000'0000, 0x2'0000'0000}};
  board.kernel.host.last_iova = ~std::uint64_t{0};
  const MappedRam ram(board);
  const auto ranges = ram.container.MappableRanges();
  REQUIRE(ranges.size() == 3);
  CHECK(ranges[0] == AddressRange({0}, 0x800'0000));
  CHECK(ranges[1] == AddressRange({0x810'0000}, 0xf7f0'0000));
  CHECK(ranges[2].start().value == 0x2'0000'0000);
  CHECK(ranges[2].last().value == ~std::uint64_t{0});
}

TEST_CASE("a container without an IOMMU maps nothing") {
  Board board;
  VfioContainer container(board.kernel, board.sysfs, IommuType::kType1);
  const auto memory = MemoryMapping::Anonymous(board.kernel, 0x1000, 0x1000, 0);
  CHECK(Contains(
      ChainOf([&] { container.MapDma(AddressRange({0x4000'0000}, 0x1000), memory.data()); }),
      "Invalid argument"));
}

}  // namespace
}  // namespace microvm
