// SPDX-License-Identifier: Apache-2.0
// Which of VFIO's interfaces a device is opened through.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <cerrno>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "vmm/passthrough/passthrough.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;

struct CdevBoard : Board {
  explicit CdevBoard(DmaMode dma = DmaMode::kIommu) { AddCan(dma, 0); }
  OpenedDevices Open() { return OpenDevices(kernel, sysfs, config); }
  std::string Complaint() {
    std::string chain = fakes::ChainOf([&] { return Open(); });
    CHECK(kernel.Live().empty());
    CHECK(kernel.violations().empty());
    return chain;
  }
};

TEST_CASE("iommufd is chosen where the host offers it") {
  CdevBoard board;
  const OpenedDevices opened = board.Open();
  CHECK(opened.facts[0].backend == VfioBackend::kIommufd);
  CHECK_FALSE(opened.facts[0].no_iommu);
  CHECK_FALSE(Contains(fakes::Lines(board.kernel.log()), "/dev/vfio/vfio"));
}

TEST_CASE("the group is chosen where iommufd cannot be had") {
  CdevBoard board;
  SUBCASE("no /dev/iommu") { board.kernel.host.iommufd_error = ENOENT; }
  SUBCASE("no permission for it") { board.kernel.host.iommufd_error = EACCES; }
  SUBCASE("no permission for the device") { board.kernel.host.cdev_error = EACCES; }
  SUBCASE("an IOMMU that is not coherent") { board.kernel.host.coherent_iommu = false; }
  SUBCASE("MSIs allowed for the group alone") {
    board.kernel.FailMatching("VFIO_DEVICE_BIND_IOMMUFD", EPERM);
  }
  {
    const OpenedDevices opened = board.Open();
    CHECK(opened.facts[0].backend == VfioBackend::kGroup);
    CHECK(opened.spaces.entries.size() == 1);
  }
  CHECK(board.kernel.Live().empty());
  CHECK(board.kernel.violations().empty());
}

TEST_CASE("a kernel without character devices means the group, without a try") {
  Board board;
  board.AddCan();
  const OpenedDevices opened = OpenDevices(board.kernel, board.sysfs, board.config);
  CHECK(opened.facts[0].backend == VfioBackend::kGroup);
  CHECK_FALSE(Contains(fakes::Lines(board.kernel.log()), "/dev/iommu"));
}

TEST_CASE("the second device of a group follows the first") {
  CdevBoard board;
  board.host.AddDevice({.name = "ff060000.canfd",
                        .group = 7,
                        .node = "/axi/uart@ff000000",
                        .compatible = "acme,uart",
                        .cdev = 1});
  board.kernel.host.devices.push_back(
      {.name = "ff060000.canfd", .group = 7, .cdev = 1, .regions = {}, .irqs = {}});
  board.config.platform.push_back(
      {.host = "ff060000.canfd", .clocks_hz = {}, .drop = {}, .reset = {}});
  board.config.platform[0].backend = VfioBackend::kGroup;
  const OpenedDevices opened = board.Open();
  CHECK(opened.facts[1].backend == VfioBackend::kGroup);
  CHECK(opened.spaces.entries.size() == 1);
}

TEST_CASE("a device in use is not tried another way") {
  CdevBoard board;
  board.kernel.FailMatching("VFIO_DEVICE_BIND_IOMMUFD", EBUSY);
  CHECK(Contains(board.Complaint(), "already in use"));
  CHECK_FALSE(Contains(fakes::Lines(board.kernel.log()), "/dev/vfio/vfio"));
}

TEST_CASE("a device that another process has by its character device is not tried another way") {
  CdevBoard board;
  board.kernel.FailMatching("VFIO_DEVICE_BIND_IOMMUFD", EINVAL);
  board.host.AddProcess(4711, "microvm", (board.host.root() / "dev/vfio/devices/vfio0").string());
  const std::string complaint = board.Complaint();
  CHECK(Contains(complaint, "is already in use by process\n"));
  CHECK(Contains(complaint, "4711 (microvm)\n"));
  CHECK_FALSE(Contains(fakes::Lines(board.kernel.log()), "/dev/vfio/vfio"));
}

TEST_CASE("the configuration forces one or the other") {
  CdevBoard board;
  board.config.platform[0].backend = VfioBackend::kGroup;
  CHECK(board.Open().facts[0].backend == VfioBackend::kGroup);
  board.config.platform[0].backend = VfioBackend::kIommufd;
  CHECK(board.Open().facts[0].backend == VfioBackend::kIommufd);
  board.kernel.host.iommufd_error = ENOENT;
  CHECK(Contains(board.Complaint(), "this host offers no iommufd"));
}

TEST_CASE("without an IOMMU it is the group, and iommufd cannot be forced") {
  Board board;
  board.AddTimer();
  {
    const OpenedDevices opened = OpenDevices(board.kernel, board.sysfs, board.config);
    CHECK(opened.facts[0].backend == VfioBackend::kGroup);
    CHECK(opened.facts[0].no_iommu);
    CHECK(opened.facts[0].mappable.empty());
  }
  board.config.platform[0].backend = VfioBackend::kIommufd;
  CHECK(
      Contains(fakes::ChainOf([&] { return OpenDevices(board.kernel, board.sysfs, board.config); }),
               "iommufd needs an IOMMU, and none of the host's stands before it"));
}

TEST_CASE("both ways tell the same of what can be mapped") {
  for (const VfioBackend backend : {VfioBackend::kIommufd, VfioBackend::kGroup}) {
    CdevBoard board;
    board.config.platform[0].backend = backend;
    board.kernel.host.reserved_iova = {{0x800'0000, 0x810'0000}};
    const OpenedDevices opened = board.Open();
    REQUIRE(opened.facts[0].mappable.size() == 2);
    CHECK(opened.facts[0].mappable[0] == AddressRange({0}, 0x800'0000));
    CHECK(opened.facts[0].mappable[1].start().value == 0x810'0000);
    CHECK(opened.facts[0].mappable[1].last().value == 0xffff'ffff'ffff);
  }
}

TEST_CASE("both ways map exactly the guest's RAM, or nothing") {
  for (const VfioBackend backend : {VfioBackend::kIommufd, VfioBackend::kGroup}) {
    for (const DmaMode dma : {DmaMode::kIommu, DmaMode::kNone}) {
      CdevBoard board(dma);
      board.config.platform[0].backend = backend;
      std::vector<std::array<std::uint64_t, 3>> mapped;
      std::uint64_t ram = 0;
      board.kernel.Script(0, {fakes::Meanwhile([&] {
                                mapped = board.kernel.DmaMappings();
                                ram = reinterpret_cast<std::uint64_t>(board.kernel.GuestRam());
                              }),
                              fakes::PowerOff()});
      CHECK(board.Run().reason == StopReason::kPowerOff);
      REQUIRE(mapped.size() == (dma == DmaMode::kIommu ? 1 : 0));
      if (dma == DmaMode::kIommu) {
        CHECK(mapped[0] == std::array<std::uint64_t, 3>{0x4000'0000, 8U << 20, ram});
      }
      CHECK(board.kernel.violations().empty());
    }
  }
}

TEST_CASE("RAM moves out of the way of a reserved window, for the guest and for the device") {
  CdevBoard board;
  board.kernel.host.reserved_iova = {{0x4010'0000, 0x4020'0000}};
  std::vector<std::array<std::uint64_t, 3>> mapped;
  board.kernel.Script(
      0, {fakes::Meanwhile([&] { mapped = board.kernel.DmaMappings(); }), fakes::PowerOff()});
  CHECK(board.Run().reason == StopReason::kPowerOff);
  REQUIRE(mapped.size() == 1);
  CHECK(mapped[0][0] == 0x4020'0000);
  CHECK(Contains(fakes::Lines(board.kernel.log()),
                 "KVM_SET_USER_MEMORY_REGION 0x40200000+0x800000\n"));
}

TEST_CASE("descriptors that are passed in are used and closed") {
  CdevBoard board;
  board.config.iommu_fd = board.kernel.Open("/dev/iommu", O_RDWR);
  board.config.platform[0].device_fd = board.kernel.Open("/dev/vfio/devices/vfio0", O_RDWR);
  board.kernel.ClearLog();
  { CHECK(board.Open().facts[0].backend == VfioBackend::kIommufd); }
  CHECK_FALSE(Contains(fakes::Lines(board.kernel.log()), "open "));
  CHECK(board.kernel.Live().empty());
  CHECK(board.kernel.violations().empty());
}

TEST_CASE("a descriptor that was not passed in is missed before its number is anybody's") {
  CdevBoard board;
  CheckPassedDescriptors(board.kernel, board.config);
  board.config.iommu_fd = 1000;
  CHECK(fakes::ChainOf([&] { CheckPassedDescriptors(board.kernel, board.config); }) ==
        "descriptor 1000 is not open\n  fstat: Bad file descriptor\n"
        "to fix it:\n  start microvm with /dev/iommu open as this descriptor\n");
  board.config.iommu_fd = board.kernel.Open("/dev/iommu", O_RDWR);
  board.config.platform[0].device_fd = 1001;
  CHECK(Contains(fakes::ChainOf([&] { CheckPassedDescriptors(board.kernel, board.config); }),
                 "cannot pass through 'ff070000.canfd'\n  descriptor 1001 is not open\n"));
  const std::string path = board.host.Write("file", "no device").string();
  board.config.platform[0].device_fd = board.kernel.Open(path.c_str(), O_RDONLY);
  CHECK(Contains(fakes::ChainOf([&] { CheckPassedDescriptors(board.kernel, board.config); }),
                 " is no device\n"));
  board.kernel.Close(*board.config.platform[0].device_fd);
  board.kernel.Close(*board.config.iommu_fd);
}

TEST_CASE("a device's descriptor may come without an iommufd's") {
  CdevBoard board;
  board.config.platform[0].device_fd = board.kernel.Open("/dev/vfio/devices/vfio0", O_RDWR);
  { CHECK(board.Open().facts[0].backend == VfioBackend::kIommufd); }
  CHECK(board.kernel.Live().empty());
}

}  // namespace
}  // namespace microvm
