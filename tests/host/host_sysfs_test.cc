// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/host/host_device.h"
#include "vmm/host/interrupt_counts.h"
#include "vmm/host/open_files.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::HostTree;
using fakes::HostTreeDevice;

constexpr const char* kCan = "ff070000.canfd";

const HostTreeDevice kCanDevice = {.name = kCan,
                                   .driver = "xilinx_can",
                                   .group = 7,
                                   .no_iommu = false,
                                   .node = "/axi/canfd@ff070000",
                                   .compatible = "xlnx,canfd-2.0",
                                   .bus = "platform"};

TEST_CASE("a device is what its folder says") {
  HostTree host;
  host.AddDevice(kCanDevice);
  const HostDevice device = HostSysfs(host.root()).Find(kCan);
  CHECK(device.name == kCan);
  CHECK(device.bus == HostBus::kPlatform);
  CHECK(device.driver == "xilinx_can");
  CHECK(device.driver_override.empty());
  CHECK(device.iommu_group == 7U);
  CHECK_FALSE(device.no_iommu);
  CHECK(device.device_tree_path == "/axi/canfd@ff070000");
  CHECK_FALSE(device.bound_to_vfio());
}

TEST_CASE("a driver that never lets go of its devices is told before anything is changed") {
  HostTree host;
  host.AddDevice(kCanDevice);
  std::filesystem::remove(host.root() / "sys/bus/platform/drivers/xilinx_can/unbind");
  const HostSysfs sysfs(host.root());
  const HostDevice device = sysfs.Find(kCan);
  CHECK_FALSE(device.driver_lets_go);
  CHECK(ChainOf([&] { sysfs.BindToVfio(device); }) ==
        "the host's driver 'xilinx_can' never lets go of 'ff070000.canfd'\n"
        "to fix it:\n  boot the host without that driver\n");
  CHECK(host.Read("sys/devices/ff070000.canfd/driver_override") == "(null)\n");
}

TEST_CASE("a device bound to VFIO has a character device, if the kernel makes them") {
  HostTree host;
  host.AddDevice({.name = kCan, .group = 7, .cdev = 3});
  host.AddDevice({.name = "ff060000.canfd", .group = 8, .no_iommu = true});
  // VFIO's device, but one that nobody can open.
  host.Write("sys/devices/ff060000.canfd/vfio-dev/vfio4/uevent", "");
  const HostSysfs sysfs(host.root());
  const HostDevice can = sysfs.Find(kCan);
  CHECK(can.vfio_device == "vfio3");
  CHECK(sysfs.CdevPath(can) == (host.root() / "dev/vfio/devices/vfio3").string());
  CHECK(sysfs.CdevNumber(can) == "1:3");
  CHECK(sysfs.Find("ff060000.canfd").vfio_device.empty());
  CHECK(sysfs.CdevNumber(sysfs.Find("ff060000.canfd")).empty());
}

TEST_CASE("a device's users have its group open, or its character device") {
  HostTree host;
  host.AddDevice({.name = kCan, .group = 7, .cdev = 3});
  host.AddProcess(1, "init", "/dev/null");
  host.AddProcess(20, "qemu", (host.root() / "dev/vfio/7").string());
  const std::string cdev = (host.root() / "dev/vfio/devices/vfio3").string();
  host.AddProcess(30, "microvm", cdev);
  host.AddProcess(static_cast<unsigned>(::getpid()), "this", cdev);  // not in its own way
  const HostSysfs sysfs(host.root());
  CHECK(sysfs.Users(sysfs.Find(kCan)) == std::vector<std::string>{"20 (qemu)", "30 (microvm)"});
}

TEST_CASE("a device may lack driver, group and node") {
  HostTree host;
  host.AddDevice({.name = "soft", .driver = "", .group = {}, .node = "", .compatible = ""});
  const HostDevice device = HostSysfs(host.root()).Find("soft");
  CHECK(device.driver.empty());
  CHECK_FALSE(device.iommu_group.has_value());
  CHECK_FALSE(device.device_tree_path.has_value());
}

TEST_CASE("each bus has a VFIO driver of its own") {
  HostTree host;
  host.AddDevice(
      {.name = "a", .driver = "vfio-platform", .group = 1, .node = "", .compatible = ""});
  host.AddDevice({.name = "b",
                  .driver = "vfio-amba",
                  .group = 2,
                  .no_iommu = true,
                  .node = "",
                  .compatible = "",
                  .bus = "amba"});
  const HostSysfs sysfs(host.root());
  CHECK(sysfs.Find("a").bound_to_vfio());
  CHECK(sysfs.Find("b").bound_to_vfio());
  CHECK(sysfs.Find("b").bus == HostBus::kAmba);
  CHECK(sysfs.Find("b").no_iommu);
}

TEST_CASE("a device that is not there is answered with those that look similar") {
  HostTree host;
  host.AddDevice(kCanDevice);
  host.AddDevice({.name = "ff120000.timer", .node = "", .compatible = ""});
  const HostSysfs sysfs(host.root());
  const auto complaint = [&](const std::string& name) {
    return ChainOf([&] { return sysfs.Find(name); });
  };
  CHECK(complaint("ff060000.canfd") ==
        "no device 'ff060000.canfd' under /sys/bus/platform/devices\n"
        "to fix it:\n  did you mean one of these?\n    ff070000.canfd\n");
  CHECK(complaint("ff070000") ==
        "no device 'ff070000' under /sys/bus/platform/devices\n"
        "to fix it:\n  did you mean one of these?\n    ff070000.canfd\n");
  CHECK(Contains(complaint("nothing"), "list the host's devices: microvm device list"));
  CHECK(Contains(complaint(".x"), "list the host's devices: microvm device list"));
  for (const std::string path : {"", ".", "..", "../devices/ff070000.canfd"}) {
    CHECK(Contains(complaint(path), "no device '" + path + "'"));
  }
  CHECK(Contains(complaint(kCan + std::string("\0x", 2)), "no device 'ff070000.canfd"));
  for (unsigned slot = 0; slot < 12; ++slot) {
    host.AddDevice({.name = "a" + std::to_string(slot) + ".virtio", .node = "", .compatible = ""});
  }
  const std::string many = complaint("b.virtio");
  CHECK(std::count(many.begin(), many.end(), '\n') == 12);
  CHECK(Contains(many, "    and 4 more\n"));
}

TEST_CASE("all devices are listed by name, over both buses, those without a node too") {
  HostTree host;
  host.AddDevice({.name = "z", .node = "/z", .compatible = "acme,z", .bus = "amba"});
  host.AddDevice({.name = "a", .node = "/a", .compatible = ""});
  host.AddDevice({.name = "no-node", .node = "", .compatible = ""});
  const auto all = HostSysfs(host.root()).All();
  REQUIRE(all.size() == 3);
  CHECK(all[0].name == "a");
  CHECK(all[1].name == "no-node");
  CHECK_FALSE(all[1].device_tree_path);
  CHECK(all[2].name == "z");
}

TEST_CASE("a group's path says whether an IOMMU stands behind it") {
  const HostSysfs sysfs("/");
  HostDevice device;
  device.iommu_group = 12;
  CHECK(sysfs.GroupPath(device) == "/dev/vfio/12");
  device.no_iommu = true;
  CHECK(sysfs.GroupPath(device) == "/dev/vfio/noiommu-12");
}

TEST_CASE("processes that have a path open are named with their number") {
  HostTree host;
  host.AddProcess(17, "qemu-system-aar", "/dev/vfio/7");
  host.AddProcess(4, "cat", "/dev/null");
  host.Write("proc/self-made/comm", "x");
  CHECK(OpenFiles(host.root()).ProcessesWith("/dev/vfio/7") ==
        std::vector<std::string>{"17 (qemu-system-aar)"});
}

TEST_CASE("of the others in a group, those that drivers of the host have, and the way out") {
  const fakes::HostTree host;
  host.AddDevice({.name = "a", .group = 3});
  host.AddDevice({.name = "b", .driver = "b-driver", .group = 3});
  host.AddDevice({.name = "c", .driver = "", .group = 3});
  host.AddDevice({.name = "d", .driver = "vfio-amba", .group = 3, .bus = "amba"});
  host.AddDevice({.name = "e", .driver = "e-driver", .group = 4});
  host.AddDevice({.name = "0000:00:01.0", .driver = "pcieport", .group = 3, .bus = "pci"});
  host.AddDevice({.name = "0000:01:00.0", .driver = "nvme", .group = 3, .bus = "pci"});
  const HostSysfs sysfs(host.root());
  CHECK(sysfs.OthersInGroup(sysfs.Find("a")) ==
        std::vector<std::string>{"0000:00:01.0", "0000:01:00.0", "b", "c", "d"});
  const std::vector<GroupHolder> held = sysfs.HeldInGroup(sysfs.Find("a"));
  REQUIRE(held.size() == 2);
  CHECK(held[0].device == "0000:01:00.0");
  CHECK(held[0].release == "echo 0000:01:00.0 > /sys/bus/pci/drivers/nvme/unbind");
  CHECK(held[1].driver == "b-driver");
  CHECK(held[1].release == "microvm device bind b");
  CHECK(sysfs.HeldInGroup(sysfs.Find("b")).size() == 1);
}

TEST_CASE("interrupts are summed over CPUs and lines of the device, and of no other") {
  HostTree host;
  host.SetInterrupts(
      "           CPU0       CPU1\n"
      " 35:         12          30     GICv3  53 Level     vfio-irq[35](ff070000.canfd)\n"
      " 36:          1           0     GICv3  54 Edge      vfio-irq[36](ff070000.canfd)\n"
      " 37:        500           0     GICv3  55 Level     vfio-irq[37](1ff070000.canfd)\n"
      " 38:        900           0     GICv3  56 Level     xilinx_can(ff070000.canfd)\n"
      "IPI0:      1000        1000       Rescheduling interrupts\n");
  CHECK(VfioInterrupts(HostSysfs(host.root()), kCan) == 43);
  CHECK(VfioInterrupts(HostSysfs(host.root()), "ff080000.canfd") == 0);
}

TEST_CASE("who has a line is told by the GIC's number, whatever the kernel's is") {
  HostTree host;
  host.SetInterrupts(
      "           CPU0       CPU1\n"
      " 14:         34          0     GICv3  33 Level     uart-pl011\n"
      " 15:          5          0  9030000.pl061  34 Edge      button\n"
      " 34:          0          0     GICv3  35 Level   \n"
      " 35:          0          0     GIC-0  34 Level     rtc-pl031, vfio-irq[35](x)\n"
      "IPI0:      1000        1000       Rescheduling interrupts\n");
  const HostSysfs sysfs(host.root());
  const std::map<std::uint32_t, std::string> users = {{33, "uart-pl011"},
                                                      {34, "rtc-pl031, vfio-irq[35](x)"}};
  CHECK(LineUsers(sysfs) == users);
  CHECK(GicInterrupts(sysfs) == std::map<std::uint32_t, std::uint64_t>{{33, 34}, {34, 0}, {35, 0}});
}

TEST_CASE("interrupts that a CPU took before it went offline are counted too") {
  HostTree host;
  host.SetInterrupts(
      "           CPU0\n"
      " 35:         12     GICv3  53 Level     vfio-irq[35](ff070000.canfd)\n");
  host.Write("sys/kernel/irq/35/per_cpu_count", "12,30\n");
  CHECK(VfioInterrupts(HostSysfs(host.root()), kCan) == 42);
}

TEST_CASE("an AMBA device's interrupts are counted by its type, if no other has it") {
  HostTree host;
  const HostSysfs sysfs(host.root());
  const auto add = [&](const char* name, const char* driver, const char* id) {
    host.AddDevice({.name = name, .driver = driver, .bus = "amba"});
    host.Write(std::string("sys/devices/") + name + "/id", id);
  };
  host.SetInterrupts(
      " 35:  1  2  GICv3  34 Level  vfio-irq[34](vfio-amba-00041031)\n"
      " 36:  4  8  GICv3  35 Level  vfio-irq[35](vfio-amba-00141011)\n"
      " 37: 16 32  GICv3  36 Level  vfio-irq[36](9010000.pl031)\n");
  add("9010000.pl031", "vfio-amba", "00041031\n");
  add("9020000.pl011", "vfio-amba", "00141011\n");
  add("9030000.pl031", "rtc-pl031",
      "00041031\n");  // the host's: its interrupts are named otherwise
  CHECK(VfioInterrupts(sysfs, "9010000.pl031") == 3);
  CHECK(VfioInterrupts(sysfs, "9020000.pl011") == 12);
  add("9040000.pl031", "vfio-amba", "00041031\n");
  CHECK(VfioInterrupts(sysfs, "9010000.pl031") == std::nullopt);
  CHECK(VfioInterrupts(sysfs, "9020000.pl011") == 12);
}

TEST_CASE("binding overrides the driver, unbinds the old one and binds VFIO's") {
  HostTree host;
  host.AddDevice(kCanDevice);
  const HostSysfs sysfs(host.root());
  sysfs.BindToVfio(sysfs.Find(kCan));
  CHECK(host.Read("sys/devices/ff070000.canfd/driver_override").starts_with("vfio-platform"));
  CHECK(host.Read("sys/bus/platform/drivers/xilinx_can/unbind") == kCan);
  CHECK(host.Read("sys/bus/platform/drivers/vfio-platform/bind") == kCan);
}

TEST_CASE("binding what is bound writes nothing") {
  HostTree host;
  host.AddDevice({.name = kCan, .node = "", .compatible = ""});
  const HostSysfs sysfs(host.root());
  sysfs.BindToVfio(sysfs.Find(kCan));
  CHECK(host.Read("sys/bus/platform/drivers/vfio-platform/bind").empty());
}

TEST_CASE("binding needs VFIO's driver, and says which kernel option that is") {
  for (const std::string bus : {"platform", "amba"}) {
    HostTree host;
    HostTreeDevice device = kCanDevice;
    device.bus = bus;
    host.AddDevice(device);
    std::filesystem::remove_all(host.root() / "sys/bus" / bus / "drivers" / ("vfio-" + bus));
    const HostSysfs sysfs(host.root());
    const std::string complaint = ChainOf([&] { sysfs.BindToVfio(sysfs.Find(kCan)); });
    CHECK(Contains(complaint, "the host has no vfio-" + bus + " driver"));
    CHECK(Contains(complaint, bus == "amba" ? "CONFIG_VFIO_AMBA" : "CONFIG_VFIO_PLATFORM"));
    CHECK(host.Read("sys/devices/ff070000.canfd/driver_override") == "(null)\n");
  }
}

TEST_CASE("a device that cannot be bound goes back to where it was") {
  HostTree host;
  host.AddDevice(kCanDevice);
  const auto bind = host.root() / "sys/bus/platform/drivers/vfio-platform/bind";
  std::filesystem::remove(bind);
  std::filesystem::create_directory(bind);  // every write fails
  const HostSysfs sysfs(host.root());
  const std::string complaint = ChainOf([&] { sysfs.BindToVfio(sysfs.Find(kCan)); });
  CHECK(Contains(complaint, "cannot bind 'ff070000.canfd' to vfio-platform\n"));
  CHECK(Contains(complaint, "Is a directory"));
  CHECK(host.Read("sys/devices/ff070000.canfd/driver_override").starts_with("\n"));
  CHECK(host.Read("sys/bus/platform/drivers_probe") == kCan);
}

TEST_CASE("a device that had no driver, or an override, has none, or that, after a failed bind") {
  HostTree host;
  HostTreeDevice free_device = kCanDevice;
  free_device.driver = "";
  host.AddDevice(free_device);
  host.Write("sys/devices/ff070000.canfd/driver_override", "acme-can\n");
  std::filesystem::remove(host.root() / "sys/bus/platform/drivers/vfio-platform/bind");
  const HostSysfs sysfs(host.root());
  CHECK(Contains(ChainOf([&] { sysfs.BindToVfio(sysfs.Find(kCan)); }), "cannot bind"));
  CHECK(host.Read("sys/devices/ff070000.canfd/driver_override").starts_with("acme-can"));
  CHECK(host.Read("sys/bus/platform/drivers_probe").empty());
}

TEST_CASE("the kernel's own reasons against binding have their remedies") {
  // A missing attribute gives ENOENT, as the kernel does for a device without a reset driver.
  HostTree host;
  host.AddDevice(kCanDevice);
  std::filesystem::remove(host.root() / "sys/bus/platform/drivers/vfio-platform/bind");
  const HostSysfs sysfs(host.root());
  CHECK(Contains(ChainOf([&] { sysfs.BindToVfio(sysfs.Find(kCan)); }),
                 "vfio-platform.reset_required=0"));
}

TEST_CASE("unbinding clears the override and has the host choose a driver") {
  HostTree host;
  host.AddDevice({.name = kCan, .node = "", .compatible = ""});
  const HostSysfs sysfs(host.root());
  sysfs.UnbindFromVfio(sysfs.Find(kCan));
  CHECK(host.Read("sys/devices/ff070000.canfd/driver_override").starts_with("\n"));
  CHECK(host.Read("sys/bus/platform/drivers/vfio-platform/unbind") == kCan);
  CHECK(host.Read("sys/bus/platform/drivers_probe") == kCan);
}

TEST_CASE("unbinding what the host drives leaves the driver alone") {
  HostTree host;
  host.AddDevice(kCanDevice);
  const HostSysfs sysfs(host.root());
  sysfs.UnbindFromVfio(sysfs.Find(kCan));
  CHECK(host.Read("sys/bus/platform/drivers/xilinx_can/unbind").empty());
}

}  // namespace
}  // namespace microvm
