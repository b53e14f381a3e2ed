// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"
#include "vmm/passthrough/passthrough.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;
using fakes::kCanName;
using fakes::kTimerName;

std::string Complaint(Board& board) {
  std::string chain =
      fakes::ChainOf([&] { return OpenDevices(board.kernel, board.sysfs, board.config); });
  CHECK(board.kernel.Live().empty());
  CHECK(board.kernel.violations().empty());
  return chain;
}

TEST_CASE("devices are opened with all that planning needs to know") {
  Board board;
  board.AddCan();
  board.AddTimer();
  const OpenedDevices opened = OpenDevices(board.kernel, board.sysfs, board.config);
  REQUIRE(opened.facts.size() == 2);
  const DeviceFacts& can = opened.facts[0];
  CHECK(can.config.host == kCanName);
  CHECK(can.regions.size() == 1);
  CHECK(can.regions[0].size_bytes == 0x6000);
  CHECK(can.regions[0].mappable);
  CHECK(can.interrupts[0].automasked);
  CHECK(can.clocks.size() == 2);
  CHECK(can.node_path == "/axi/canfd@ff070000");
  const DeviceFacts& timer = opened.facts[1];
  CHECK_FALSE(timer.regions[0].mappable);
  CHECK_FALSE(timer.interrupts[0].automasked);
  CHECK(timer.interrupts[1].automasked);
  CHECK(timer.tree == can.tree);  // read once
}

TEST_CASE("who has a line that the kernel could not have is found by its number at the GIC") {
  Board board;
  board.AddTimer();
  board.kernel.host.devices[0].irqs[1].line_error = EINVAL;
  board.host.SetInterrupts(
      "           CPU0       CPU1\n"
      " 13:          1          2     GICv3  27 Level     arch_timer\n"
      " 35:         12         30     GICv3  69 Level     uart-pl011, rtc\n"
      " 36:         69          0     GICv3  68 Level     other\n");
  const OpenedDevices opened = OpenDevices(board.kernel, board.sysfs, board.config);
  CHECK(opened.facts[0].interrupts[0].line_error == 0);
  CHECK(opened.facts[0].interrupts[1].line_error == EINVAL);
  CHECK(opened.facts[0].interrupts[1].users == "uart-pl011, rtc");
}

TEST_CASE("the first device's way is container, group, IOMMU, device") {
  Board board;
  board.AddCan();
  { const auto opened = OpenDevices(board.kernel, board.sysfs, board.config); }
  CHECK(fakes::Lines(board.kernel.log()) ==
        "open /dev/vfio/vfio\nVFIO_GET_API_VERSION\nopen /dev/vfio/7\nVFIO_GROUP_GET_STATUS\n"
        "VFIO_GROUP_SET_CONTAINER\nVFIO_SET_IOMMU 3\n"
        "VFIO_GROUP_GET_DEVICE_FD ff070000.canfd\nVFIO_DEVICE_GET_INFO\n"
        "VFIO_DEVICE_GET_REGION_INFO\nVFIO_DEVICE_GET_IRQ_INFO\n"
        // Whether the kernel has its line.
        "VFIO_DEVICE_SET_IRQS 0 trigger no eventfd\n"
        // Asked twice: how long the answer is, and the answer.
        "VFIO_IOMMU_GET_INFO\nVFIO_IOMMU_GET_INFO\n"
        "close ff070000.canfd\nclose group 7\nclose container\n");
}

TEST_CASE("a device without an IOMMU goes through its own kind of container") {
  Board board;
  board.AddTimer();
  { const auto opened = OpenDevices(board.kernel, board.sysfs, board.config); }
  const std::string log = fakes::Lines(board.kernel.log());
  CHECK(Contains(log, "open /dev/vfio/noiommu-0\n"));
  CHECK(Contains(log, "VFIO_SET_IOMMU 8\n"));
}

TEST_CASE("devices that may not reach memory have a container apart from those that may") {
  Board board;
  board.AddCan(DmaMode::kNone);
  const OpenedDevices opened = OpenDevices(board.kernel, board.sysfs, board.config);
  REQUIRE(opened.spaces.entries.size() == 1);
  CHECK_FALSE(opened.spaces.entries[0].maps_ram);
  CHECK_FALSE(opened.spaces.entries[0].no_iommu);
}

TEST_CASE("two devices of one group share it") {
  Board board;
  board.AddCan();
  board.host.AddDevice({.name = "ff060000.canfd",
                        .group = 7,
                        .node = "/axi/uart@ff000000",
                        .compatible = "acme,uart"});
  board.kernel.host.devices.push_back(
      {.name = "ff060000.canfd", .group = 7, .regions = {}, .irqs = {}});
  board.config.platform.push_back(
      {.host = "ff060000.canfd", .clocks_hz = {}, .drop = {}, .reset = {}});
  const OpenedDevices opened = OpenDevices(board.kernel, board.sysfs, board.config);
  CHECK(opened.devices.size() == 2);
}

TEST_CASE("two devices of one group cannot differ in what they reach") {
  Board board;
  board.AddCan();
  board.host.AddDevice({.name = "ff060000.canfd", .group = 7, .node = "/axi/uart@ff000000"});
  board.config.platform.push_back(
      {.host = "ff060000.canfd", .dma = DmaMode::kNone, .clocks_hz = {}, .drop = {}, .reset = {}});
  CHECK(Complaint(board) ==
        "cannot pass through 'ff060000.canfd'\n"
        "  it shares IOMMU group 7 with 'ff070000.canfd', which has another dma mode\n"
        "to fix it:\n  give both the same dma\n");
}

TEST_CASE("a device that is not there is named, with those that look similar") {
  Board board;
  board.AddCan();
  board.config.platform[0].host = "ff080000.canfd";
  CHECK(Complaint(board) ==
        "cannot pass through 'ff080000.canfd'\n"
        "  no device 'ff080000.canfd' under /sys/bus/platform/devices\n"
        "to fix it:\n  did you mean one of these?\n    ff070000.canfd\n");
}

TEST_CASE("a device of another driver, or of none, is refused with the command that binds it") {
  for (const std::string driver : {"xilinx_can", ""}) {
    Board board;
    board.host.AddDevice(
        {.name = kCanName, .driver = driver, .group = 7, .node = "/axi", .compatible = ""});
    board.config.platform.push_back({.host = kCanName, .clocks_hz = {}, .drop = {}, .reset = {}});
    CHECK(Complaint(board) == std::string("cannot pass through 'ff070000.canfd'\n  ") +
                                  (driver.empty()
                                       ? "it is bound to no driver"
                                       : "it is bound to the host's driver 'xilinx_can'") +
                                  "\nto fix it:\n  microvm device bind ff070000.canfd\n");
  }
}

TEST_CASE("a device without an IOMMU group is refused with the way to a no-IOMMU one") {
  Board board;
  board.host.AddDevice({.name = kCanName, .group = {}, .node = "/axi", .compatible = ""});
  board.config.platform.push_back({.host = kCanName, .clocks_hz = {}, .drop = {}, .reset = {}});
  const std::string complaint = Complaint(board);
  CHECK(Contains(complaint, "it has no IOMMU group"));
  CHECK(Contains(complaint, "vfio.enable_unsafe_noiommu_mode=1"));
}

TEST_CASE("a device that needs DMA is refused where no IOMMU stands before it") {
  Board board;
  board.AddTimer();
  board.config.platform[0].dma = DmaMode::kIommu;
  const std::string complaint = Complaint(board);
  CHECK(Contains(complaint, "dma = \"iommu\", but no IOMMU of the host stands before it"));
  CHECK(Contains(complaint, "if the device does no DMA, write dma = \"none\""));
}

TEST_CASE("a device without a node is refused") {
  Board board;
  board.host.AddDevice({.name = kCanName, .group = 7, .node = "", .compatible = ""});
  board.config.platform.push_back({.host = kCanName, .clocks_hz = {}, .drop = {}, .reset = {}});
  CHECK(Contains(Complaint(board), "it has no node in a device tree"));
}

TEST_CASE("when the second device fails the first is closed again") {
  Board board;
  board.AddCan();
  board.AddTimer();
  board.kernel.FailMatching("VFIO_GROUP_GET_DEVICE_FD ff120000.timer", EINVAL);
  const std::string complaint = Complaint(board);
  CHECK(Contains(complaint,
                 "cannot pass through 'ff120000.timer'\n  the device cannot be opened\n"
                 "    VFIO_GROUP_GET_DEVICE_FD: Invalid argument\n"));
  CHECK(Contains(complaint, "reset_required"));
}

TEST_CASE("the tree is the firmware's blob, or the live one where that lacks the node") {
  Board board;
  const std::string node = "/axi/canfd@ff070000";
  CHECK(ReadHostTree(board.sysfs, node)->Find(node).has_value());
  board.host.SetFirmwareTree(fakes::TreeBlob("clocks"));
  board.host.SetLiveTree(fakes::TreeBlob("board"));
  CHECK(ReadHostTree(board.sysfs, node)->Find(node).has_value());
  CHECK(ReadHostTree(board.sysfs, "/fixed")->Find("/fixed").has_value());
  std::filesystem::remove(board.host.root() / "sys/firmware/fdt");
  CHECK(ReadHostTree(board.sysfs, node)->Find(node).has_value());
  board.host.Write("sys/firmware/fdt", "damaged");
  CHECK(ReadHostTree(board.sysfs, node)->Find(node).has_value());
}

TEST_CASE("a host without any device tree is an error that names where it was looked for") {
  const Board board;
  std::filesystem::remove_all(board.host.root() / "sys/firmware");
  CHECK(Contains(fakes::ChainOf([&] { return ReadHostTree(board.sysfs, "/axi"); }),
                 "cannot read the device tree in "));
}

}  // namespace
}  // namespace microvm
