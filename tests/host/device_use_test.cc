// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/device_use.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"

namespace microvm {
namespace {

using Uses = std::vector<std::string>;

// A host with one device, whose folder a test fills.
class Host {
 public:
  Host() { tree.AddDevice({.name = "dev", .driver = "acme"}); }

  void Write(const std::string& name, std::string_view text) const {
    tree.Write("sys/devices/dev/" + name, text);
  }
  [[nodiscard]] Uses Found() const {
    const HostSysfs sysfs(tree.root());
    return UsesOf(sysfs, OpenFiles(tree.root()), sysfs.Find("dev"));
  }
  void AddDisk() const {
    Write("host0/target/block/sda/dev", "8:0\n");
    Write("host0/target/block/sda/uevent", "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n");
    Write("host0/target/block/sda/sda1/dev", "8:1\n");
    Write("host0/target/block/sda/sda1/uevent", "MAJOR=8\nMINOR=1\nDEVNAME=sda1\n");
  }

  fakes::HostTree tree;
};

TEST_CASE("a device that nothing uses has no use") {
  const Host host;
  host.AddDisk();
  host.Write("net/can0/flags", "0x40080\n");
  CHECK(host.Found().empty());
}

TEST_CASE("a network interface that is up is a use") {
  const Host host;
  host.Write("net/can0/flags", "0x40081\n");
  CHECK(host.Found() == Uses{"network interface can0 is up"});
}

TEST_CASE("a network interface that is in another namespace is a use") {
  const Host host;
  std::filesystem::create_directories(host.tree.root() / "sys/devices/dev/net");
  CHECK(host.Found() == Uses{"its network interface is in another network namespace"});
}

TEST_CASE("a disk is in use when any mount namespace has it mounted") {
  const Host host;
  host.AddDisk();
  const auto add = [&](const std::string& process, const std::string& name, const char* mounts) {
    host.tree.Write("proc/" + process + "/mountinfo", mounts);
    std::filesystem::create_directories(host.tree.root() / "proc" / process / "ns");
    std::filesystem::create_symlink("mnt:[" + name + "]",
                                    host.tree.root() / "proc" / process / "ns/mnt");
  };
  add("self", "1", "20 1 8:11 / / rw - ext4 /dev/other rw\n");
  add("7", "1", "");
  add("8", "2", "20 1 8:0 / /far rw - ext4 /dev/other rw");
  CHECK(host.Found() == Uses{"disk sda is mounted on /far"});
}

TEST_CASE(
    "a disk is in use when it is mounted, by number or by name, or swap, or part of another") {
  const Host host;
  host.AddDisk();
  const std::string mount = " / /data rw,noatime - ext4 /dev/other rw\n";
  host.tree.Write("proc/self/mountinfo", "20 1 8:11" + mount + "21 1 8:1" + mount);
  CHECK(host.Found() == Uses{"disk sda1 is mounted on /data"});
  host.tree.Write("proc/self/mountinfo", "20 1 0:30 / /big rw shared:1 - btrfs /dev/sda1 rw\n");
  CHECK(host.Found() == Uses{"disk sda1 is mounted on /big"});
  host.tree.Write("proc/self/mountinfo", "");
  host.tree.Write("proc/swaps", "Filename Type\n/dev/sda1 partition 1 0 -2\n");
  CHECK(host.Found() == Uses{"disk sda1 is swap space"});
  host.tree.Write("proc/swaps", "");
  host.Write("host0/target/block/sda/sda1/holders/dm-0/dev", "253:0\n");
  CHECK(host.Found() == Uses{"disk sda1 is part of dm-0"});
}

TEST_CASE("a console of the kernel is a use") {
  const Host host;
  host.Write("tty/ttyAMA1/dev", "204:65\n");
  host.Write("tty/ttyAMA1/uevent", "DEVNAME=ttyAMA1\n");
  host.tree.Write("proc/consoles", "ttyAMA10             -W- (E  p a)  204:74\n");
  CHECK(host.Found().empty());
  host.tree.Write("proc/consoles", "ttyAMA1              -W- (EC p a)  204:65\n");
  CHECK(host.Found() == Uses{"ttyAMA1 is a console of the kernel"});
}

TEST_CASE("a device that cannot be taken is not offered to be") {
  const Host host;
  host.Write("net/can0/flags", "0x40081\n");
  const HostSysfs sysfs(host.tree.root());
  HostDevice device = sysfs.Find("dev");
  const auto complaint = [&] {
    return fakes::ChainOf([&] { CheckUnused(sysfs, OpenFiles(host.tree.root()), device); });
  };
  device.driver_lets_go = true;
  CHECK(fakes::Contains(complaint(), "microvm device bind dev --force"));
  device.driver_lets_go = false;
  CHECK(fakes::Contains(complaint(), "'acme' never lets go of it"));
}

TEST_CASE("a DMA channel that has a client is a use, and says whose it is") {
  const Host host;
  host.Write("dma/dma0chan0/in_use", "0\n");
  CHECK(host.Found().empty());
  host.Write("dma/dma0chan1/in_use", "2\n");
  CHECK(host.Found() == Uses{"DMA channel dma0chan1 is in use"});
  std::filesystem::create_directory_symlink(
      "../../../ff000000.serial", host.tree.root() / "sys/devices/dev/dma/dma0chan1/slave");
  CHECK(host.Found() == Uses{"DMA channel dma0chan1 is in use by ff000000.serial"});
}

TEST_CASE("a device that the kernel would unbind with it is a use") {
  const Host host;
  host.Write("consumer:platform:leds/status", "dormant\n");
  host.Write("consumer:platform:keys/status", "active\n");
  host.Write("consumer:platform:keys/sync_state_only", "0\n");
  host.Write("consumer:platform:bus/status", "active\n");
  host.Write("consumer:platform:bus/sync_state_only", "1\n");
  CHECK(host.Found() == Uses{"device keys needs it"});
}

TEST_CASE("a device file that a process has open is a use") {
  const Host host;
  host.Write("input/input0/event3/dev", "13:67\n");
  host.Write("input/input0/event3/uevent", "DEVNAME=input/event3\n");
  host.tree.AddProcess(17, "evtest", (host.tree.root() / "dev/input/event3").string());
  CHECK(host.Found() == Uses{"process 17 (evtest) has /dev/input/event3 open"});
}

TEST_CASE("links out of a device's folder are not followed") {
  const Host host;
  host.tree.Write("sys/devices/other/net/eth0/flags", "0x1003\n");
  std::filesystem::create_directory_symlink(host.tree.root() / "sys/devices/other",
                                            host.tree.root() / "sys/devices/dev/consumer");
  CHECK(host.Found().empty());
}

}  // namespace
}  // namespace microvm
