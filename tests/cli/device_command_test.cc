// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/device_command.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::Contains;
using fakes::HostTree;

constexpr const char* kCan = "ff070000.canfd";
constexpr const char* kUart = "ff000000.uart";

// A host with three devices: one bound to VFIO, one driven by the host, one driven by nobody.
class Host {
 public:
  Host() {
    tree.SetFirmwareTree(fakes::TreeBlob("board"));
    tree.AddDevice({.name = kCan,
                    .driver = "vfio-platform",
                    .group = 7,
                    .node = "/axi/canfd@ff070000",
                    .compatible = "xlnx,canfd-2.0"});
    tree.AddDevice({.name = kUart,
                    .driver = "acme-uart",
                    .node = "/axi/uart@ff000000",
                    .compatible = "acme,uart"});
    tree.AddDevice({.name = "ff120000.timer",
                    .driver = "",
                    .group = 0,
                    .no_iommu = true,
                    .node = "/axi/timer@ff120000"});
  }
  [[nodiscard]] std::string Output(Command command, const std::vector<std::string>& devices) const {
    CommandLine line;
    line.command = command;
    line.devices = devices;
    return Output(line);
  }
  [[nodiscard]] std::string Output(const CommandLine& line) const {
    const fakes::CapturedStream out(STDOUT_FILENO);
    const int status = RunDeviceCommand(line, HostSysfs(tree.root()));
    CHECK(status == 0);
    return out.text();
  }
  [[nodiscard]] std::string Complaint(Command command,
                                      const std::vector<std::string>& devices) const {
    return fakes::ChainOf([&] { return Output(command, devices); });
  }

  HostTree tree;
};

TEST_CASE("device list shows verdict, driver, group and compatible of every device, by name") {
  const std::string text = Host().Output(Command::kDeviceList, {});
  CHECK(
      text ==
      "DEVICE                       VERDICT        DRIVER               IOMMU GROUP    COMPATIBLE\n"
      "ff000000.uart                needs binding  acme-uart            -              acme,uart\n"
      "ff070000.canfd               with stubs     vfio-platform        7              "
      "xlnx,canfd-2.0\n"
      "ff120000.timer               as is          -                    0 (no IOMMU)   "
      "acme,timer\n");
}

TEST_CASE("device inspect shows what a device that is ready has, and its table") {
  const std::string text = Host().Output(Command::kDeviceInspect, {kCan});
  CHECK(Contains(text, "device: ff070000.canfd\ndriver: vfio-platform\nIOMMU group: 7\n"));
  CHECK(Contains(text, "node: /axi/canfd@ff070000\n"));
  CHECK(Contains(text, "region 0: 0xff070000 + 0x6000, whole pages\n"));
  CHECK(Contains(text, "interrupt 0: level, SPI 21 (INTID 53)\n"));
  CHECK(Contains(text, "clock can_clk from /can-clk: 25000000 Hz\n"));
  CHECK(Contains(text, "33333000 Hz, shared with /axi/uart@ff000000\n"));
  CHECK(Contains(text, "left out: /axi/canfd@ff070000: iommus: "));
  CHECK(Contains(text, "verdict: with stubs\n"));
  CHECK(Contains(text, "start: ready\n"));
  CHECK(Contains(text, "[[platform]]\nhost = \"ff070000.canfd\"\ndma = \"iommu\"\n"));
  CHECK_FALSE(Contains(text, "device bind"));
}

TEST_CASE("device inspect says how to bind a device that is not, as a start would") {
  const std::string text = Host().Output(Command::kDeviceInspect, {"ff120000.timer"});
  CHECK(Contains(text, "interrupt 0 match: edge, SPI 36 (INTID 68)\n"));
  CHECK(Contains(text, "interrupt 1 overflow: level, SPI 37 (INTID 69)\n"));
  CHECK(Contains(text, "verdict: as is\n"));
  CHECK(Contains(text, "start: not yet: it is bound to no driver\n"));
  CHECK(Contains(text, "  microvm device bind ff120000.timer\n"));
  CHECK(Contains(text, "dma = \"none\"\n"));
}

TEST_CASE("device inspect says why a guest's node cannot be made, and the way around") {
  const std::string text = Host().Output(Command::kDeviceInspect, {kUart});
  CHECK(Contains(text, "verdict: needs binding\n"));
  CHECK(Contains(text, "dmas"));
}

TEST_CASE("device inspect says what the host uses a device for, as bind would") {
  Host host;
  host.tree.AddDevice({.name = "ff140000.mac", .driver = "acme-mac", .node = "/axi/mac@ff140000"});
  CHECK_FALSE(Contains(host.Output(Command::kDeviceInspect, {"ff140000.mac"}), "is in use"));
  host.tree.Write("sys/devices/ff140000.mac/net/eth0/flags", "0x1003\n");
  host.tree.Write("sys/devices/ff140000.mac/tty/ttyA0/uevent", "DEVNAME=ttyA0\n");
  host.tree.Write("sys/devices/ff140000.mac/tty/ttyA0/dev", "204:64\n");
  host.tree.Write("proc/consoles", "ttyA0                -W- (EC p a)  204:64\n");
  CHECK(Contains(host.Output(Command::kDeviceInspect, {"ff140000.mac"}),
                 "verdict: refused\n"
                 "  - 'ff140000.mac' is in use by the host:\n"
                 "      network interface eth0 is up\n"
                 "      ttyA0 is a console of the kernel\n"
                 "    to fix it: end that use first, or take the device all the same:\n"
                 "               microvm device bind ff140000.mac --force\n"));
  CommandLine line;
  line.command = Command::kDeviceInspect;
  line.devices = {"ff140000.mac"};
  line.json = true;
  CHECK(Contains(
      host.Output(line),
      R"("in_use":"'ff140000.mac' is in use by the host:\n  network interface eth0 is up)"));
  // Of a device that belongs to VFIO the host has none.
  host.tree.Write("sys/devices/ff070000.canfd/net/can0/flags", "0x40081\n");
  CHECK(Contains(host.Output(Command::kDeviceInspect, {kCan}), "start: ready\n"));
}

TEST_CASE("device inspect reads the module parameters that a start depends on") {
  const Host host;
  host.tree.Write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
  host.tree.Write("sys/module/vfio_platform/parameters/reset_required", "N\n");
  const std::string text = host.Output(Command::kDeviceInspect, {"ff120000.timer"});
  CHECK_FALSE(Contains(text, "vfio.enable_unsafe_noiommu_mode"));
  CHECK_FALSE(Contains(text, "vfio-platform.reset_required"));
}

TEST_CASE("device inspect names the other devices of an IOMMU group") {
  const Host host;
  host.tree.Write("sys/kernel/iommu_groups/7/devices/ff070000.canfd", "");
  host.tree.Write("sys/kernel/iommu_groups/7/devices/ff080000.canfd", "");
  CHECK(Contains(host.Output(Command::kDeviceInspect, {kCan}),
                 "IOMMU group: 7, with ff080000.canfd\n"));
}

TEST_CASE("device inspect refuses a device that no tree describes") {
  Host host;
  host.tree.AddDevice({.name = "soft"});
  CHECK(Contains(host.Output(Command::kDeviceInspect, {"soft"}),
                 "verdict: refused\n  - it has no node in a device tree\n"));
}

TEST_CASE("--json writes an object for one device, an array for all") {
  CommandLine line;
  line.command = Command::kDeviceInspect;
  line.devices = {kCan};
  line.json = true;
  const std::string one = Host().Output(line);
  CHECK(one.starts_with("{\"device\":\"ff070000.canfd\","));
  CHECK(one.ends_with("}\n"));
  line.command = Command::kDeviceList;
  line.devices = {};
  const std::string all = Host().Output(line);
  CHECK(all.starts_with("[{\"device\":\"ff000000.uart\","));
  CHECK(Contains(all, "},\n{\"device\":\"ff070000.canfd\","));
  CHECK(all.ends_with("}]\n"));
}

TEST_CASE("another host's tree is inspected by file, one node or all that have registers") {
  const Host host;
  CommandLine line;
  line.command = Command::kDeviceInspect;
  line.tree = host.tree.root() / "sys/firmware/fdt";
  line.devices = {"canfd@ff070000"};
  const std::string one = host.Output(line);
  CHECK(one.starts_with("device: ff070000.canfd\ncompatible: xlnx,canfd-2.0\n"));
  // Of a coherent walk or device its tree says nothing, and no kernel has spoken.
  CHECK(Contains(one, "verdict: refused\n  - VFIO does not accept its IOMMU"));
  CHECK_FALSE(Contains(one, "start:"));
  line.devices = {};
  const std::string all = host.Output(line);
  CHECK(Contains(all, "\n\ndevice: ff120000.timer\n"));
  CHECK_FALSE(Contains(all, "node: /axi/regulator-switch"));
  line.command = Command::kDeviceList;
  CHECK(host.Output(line).starts_with("DEVICE                       VERDICT        COMPATIBLE\n"));
  line.tree = "/nonexistent.dtb";
  CHECK(Contains(fakes::ChainOf([&] { return host.Output(line); }),
                 "cannot inspect /nonexistent.dtb\n"));
  line.tree = host.tree.Write("ecu.toml", "name = 'an ecu, whose file is no device tree'").string();
  CHECK(fakes::ChainOf([&] { return host.Output(line); }) ==
        "cannot inspect " + line.tree +
            "\n  not a device tree: FDT_ERR_BADMAGIC\n"
            "to fix it:\n  give --tree a .dtb, as dtc or Linux's build makes them, or a host's "
            "/sys/firmware/fdt\n");
}

TEST_CASE("device bind hands devices to VFIO, by name") {
  const Host host;
  CHECK(host.Output(Command::kDeviceBind, {kUart, kUart}).empty());  // named twice, bound once
  CHECK(host.tree.Read("sys/bus/platform/drivers/acme-uart/unbind") == kUart);
  CHECK(host.tree.Read("sys/bus/platform/drivers/vfio-platform/bind") == kUart);
}

TEST_CASE("a name that is wrong leaves the devices named before it alone") {
  const Host host;
  CHECK(Contains(host.Complaint(Command::kDeviceBind, {kUart, "nothing"}), "no device 'nothing'"));
  CHECK(host.tree.Read("sys/bus/platform/drivers/acme-uart/unbind").empty());
}

TEST_CASE("a node's name or path is answered with the device's name, whatever the command") {
  const Host host;
  for (const Command command :
       {Command::kDeviceInspect, Command::kDeviceBind, Command::kDeviceUnbind}) {
    for (const char* node : {"uart@ff000000", "/axi/uart@ff000000"}) {
      CHECK(host.Complaint(command, {node}) ==
            "no device '" + std::string(node) +
                "' under /sys/bus/platform/devices\n"
                "to fix it:\n  did you mean one of these?\n    ff000000.uart\n");
    }
  }
}

TEST_CASE("device unbind gives devices back") {
  const Host host;
  CHECK(host.Output(Command::kDeviceUnbind, {kCan}).empty());
  CHECK(host.tree.Read("sys/bus/platform/drivers/vfio-platform/unbind") == kCan);
}

TEST_CASE("a device in use is not unbound, nor any named beside it") {
  const Host host;
  host.tree.AddProcess(4711, "microvm", (host.tree.root() / "dev/vfio/7").string());
  CHECK(host.Complaint(Command::kDeviceUnbind, {kUart, kCan}) ==
        "'ff070000.canfd' is in use by process 4711 (microvm)\n"
        "to fix it:\n  stop that process first\n");
  CHECK(host.tree.Read("sys/bus/platform/drivers_probe").empty());
}

TEST_CASE("a device that the host uses is not bound, nor any named beside it, unless by force") {
  const Host host;
  host.tree.Write("sys/devices/ff000000.uart/net/can0/flags", "0x40081\n");
  CHECK(host.Complaint(Command::kDeviceBind, {"ff120000.timer", kUart}) ==
        "'ff000000.uart' is in use by the host:\n  network interface can0 is up\n"
        "to fix it:\n  end that use first, or take the device all the same:\n"
        "  microvm device bind ff000000.uart --force\n");
  CHECK(host.tree.Read("sys/bus/platform/drivers/vfio-platform/bind").empty());
  CommandLine line;
  line.command = Command::kDeviceBind;
  line.devices = {kUart};
  line.force = true;
  static_cast<void>(host.Output(line));
  CHECK(host.tree.Read("sys/bus/platform/drivers/vfio-platform/bind") == kUart);
}

TEST_CASE("device bind takes the devices of a configuration") {
  const Host host;
  CommandLine line;
  line.command = Command::kDeviceBind;
  line.config = host.tree
                    .Write("ecu.toml",
                           "[memory]\nsize = \"8M\"\n[boot]\nkernel = \"I\"\n"
                           "[[platform]]\nhost = \"ff000000.uart\"\n")
                    .string();
  CHECK(RunDeviceCommand(line, HostSysfs(host.tree.root())) == 0);
  CHECK(host.tree.Read("sys/bus/platform/drivers/vfio-platform/bind") == kUart);
}

}  // namespace
}  // namespace microvm
