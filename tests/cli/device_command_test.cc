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

TEST_CASE("device list shows driver, group and compatible of every device, by name") {
  const std::string text = Host().Output(Command::kDeviceList, {});
  CHECK(text ==
        "DEVICE                       DRIVER               IOMMU GROUP    COMPATIBLE\n"
        "ff000000.uart                acme-uart            -              acme,uart\n"
        "ff070000.canfd               vfio-platform        7              xlnx,canfd-2.0\n"
        "ff120000.timer               -                    0 (no IOMMU)   -\n");
}

TEST_CASE("device inspect shows what a device that is ready has, and its table") {
  const std::string text = Host().Output(Command::kDeviceInspect, {kCan});
  CHECK(Contains(text, "device: ff070000.canfd\ndriver: vfio-platform\nIOMMU group: 7\n"));
  CHECK(Contains(text, "node: /axi/canfd@ff070000\n"));
  CHECK(Contains(text, "interrupt 0: level\n"));
  CHECK(Contains(text, "clock can_clk from /can-clk: 25000000 Hz\n"));
  CHECK(Contains(text, "left out: /axi/canfd@ff070000: iommus: "));
  CHECK(
      Contains(text, "verdict: ready\n[[platform]]\nhost = \"ff070000.canfd\"\ndma = \"iommu\"\n"));
  CHECK_FALSE(Contains(text, "device bind"));
}

TEST_CASE("device inspect says how to bind a device that is not") {
  const std::string text = Host().Output(Command::kDeviceInspect, {"ff120000.timer"});
  CHECK(Contains(text, "interrupt 0: edge\ninterrupt 1: level\n"));
  CHECK(Contains(text, "verdict: can be passed through once it is bound\n"));
  CHECK(Contains(text, "dma = \"none\"\n# microvm device bind ff120000.timer\n"));
}

TEST_CASE("device inspect says why a device is refused, and the way around") {
  const std::string text = Host().Output(Command::kDeviceInspect, {kUart});
  CHECK(Contains(text, "verdict: refused\n"));
  CHECK(Contains(text,
                 "the property 'dmas' refers to something the guest does not have: DMA channel "));
  CHECK(Contains(text, "drop = [\"dmas\"]"));
}

TEST_CASE("device inspect refuses a device that no tree describes") {
  Host host;
  host.tree.AddDevice({.name = "soft"});
  CHECK(Contains(host.Output(Command::kDeviceInspect, {"soft"}),
                 "verdict: refused\nit has no node in a device tree\n"));
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
