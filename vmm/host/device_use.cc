// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/device_use.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include "vmm/host/error.h"
#include "vmm/host/file.h"

namespace microvm {
namespace {

namespace fs = std::filesystem;

// Deeper than sysfs nests devices: a USB disk behind three hubs has about 20.
constexpr int kMaximumDepth = 32;

// What can be used of a device: found below its folder.
struct Interfaces {
  struct Node {
    std::string name;    // under /dev
    std::string number;  // "8:1"
    bool block;
  };
  std::vector<Node> nodes;
  std::vector<std::string> up;  // network interfaces
  // In words: disks that are part of others, DMA channels with a client, devices that need it.
  std::vector<std::string> held;
};

bool IsUp(const fs::path& interface) {
  std::string flags = ReadAttribute(interface / "flags");
  if (!flags.starts_with("0x")) return false;
  unsigned value = 0;
  std::from_chars(flags.data() + 2, flags.data() + flags.size(), value, 16);
  return (value & 1U) != 0;  // IFF_UP
}

// A channel of a DMA engine (drivers/dma/dmaengine.c of Linux) tells how many clients it has, and
// links to the device that it serves.
void CollectChannel(const fs::path& folder, Interfaces& found) {
  const std::string clients = ReadAttribute(folder / "in_use");
  if (clients.empty() || clients == "0") return;
  std::error_code error;
  const std::string user = fs::read_symlink(folder / "slave", error).filename().string();
  found.held.push_back("DMA channel " + folder.filename().string() + " is in use" +
                       (user.empty() ? "" : " by " + user));
}

// Devices that the kernel unbinds when it unbinds this one
// (Documentation/ABI/testing/sysfs-devices-consumer, sysfs-class-devlink).
void CollectConsumers(const fs::path& folder, Interfaces& found) {
  constexpr std::string_view kPrefix = "consumer:";
  for (const std::string& name : NamesIn(folder)) {
    if (!name.starts_with(kPrefix) || ReadAttribute(folder / name / "status") != "active") continue;
    if (ReadAttribute(folder / name / "sync_state_only") == "1") continue;
    const std::string consumer = name.substr(kPrefix.size());  // BUS:DEVICE
    std::string use = "device ";
    found.held.push_back(use.append(consumer.substr(consumer.find(':') + 1)).append(" needs it"));
  }
}

void Collect(const fs::path& folder, int depth, Interfaces& found) {
  const std::string number = ReadAttribute(folder / "dev");
  if (!number.empty()) {
    const std::string event = ReadAttribute(folder / "uevent");
    for (const std::string_view line : Split(event, '\n')) {
      if (!line.starts_with("DEVNAME=")) continue;
      const bool block = folder.string().find("/block/") != std::string::npos;
      found.nodes.push_back(
          {std::string(line.substr(8)), number.substr(0, number.find('\n')), block});
    }
  }
  if (folder.parent_path().filename() == "net" && IsUp(folder)) {
    found.up.push_back(folder.filename().string());
  }
  if (folder.parent_path().filename() == "dma") CollectChannel(folder, found);
  const std::vector<std::string> names = NamesIn(folder);
  // Of a class of devices the folder is there as long as one of them is, seen from here or not.
  if (folder.filename() == "net" && names.empty()) {
    found.held.emplace_back("its network interface is in another network namespace");
  }
  std::error_code error;
  for (const std::string& name : names) {
    const fs::path entry = folder / name;
    if (folder.filename() == "holders") {
      std::string use = "disk " + folder.parent_path().filename().string();
      found.held.push_back(use.append(" is part of ").append(name));
    }
    const bool is_folder = fs::symlink_status(entry, error).type() == fs::file_type::directory;
    if (is_folder && depth < kMaximumDepth) Collect(entry, depth + 1, found);
  }
}

// The mounts of every mount namespace that a process is in, this one's first.
std::string AllMounts(const fs::path& proc) {
  std::error_code error;
  std::string mounts = ReadAttribute(proc / "self/mountinfo");
  std::set<fs::path> known = {fs::read_symlink(proc / "self/ns/mnt", error)};
  for (const std::string& process : NamesIn(proc)) {
    if (process.find_first_not_of("0123456789") != std::string::npos) continue;
    const fs::path of_process = fs::read_symlink(proc / process / "ns/mnt", error);
    if (error || !known.insert(of_process).second) continue;
    mounts.append("\n").append(ReadAttribute(proc / process / "mountinfo"));
  }
  return mounts;
}

// Disks of /proc/PID/mountinfo (proc(5): field 3 is the number, 5 the mount point) and /proc/swaps.
void AppendMounts(const HostSysfs& sysfs, const Interfaces& found, std::vector<std::string>& uses) {
  const bool has_disk = std::any_of(found.nodes.begin(), found.nodes.end(),
                                    [](const Interfaces::Node& node) { return node.block; });
  if (!has_disk) return;
  const std::string mounts = AllMounts(sysfs.root() / "proc");
  const std::string swaps = ReadAttribute(sysfs.root() / "proc/swaps");
  for (const Interfaces::Node& node : found.nodes) {
    if (!node.block) continue;
    for (const std::string_view line : Split(mounts, '\n')) {
      const auto fields = Split(line, ' ');
      if (fields.size() < 10) continue;
      // File systems such as btrfs have numbers of their own, and only name the disk.
      const auto dash = std::find(fields.begin(), fields.end(), "-");
      const bool named = fields.end() - dash > 2 && dash[2] == "/dev/" + node.name;
      if (fields[2] != node.number && !named) continue;
      uses.push_back("disk " + node.name + " is mounted on " + std::string(fields[4]));
      break;
    }
    for (const std::string_view line : Split(swaps, '\n')) {
      if (line.starts_with("/dev/" + node.name + " ")) {
        uses.push_back("disk " + node.name + " is swap space");
      }
    }
  }
}

// /proc/consoles (Documentation/admin-guide/serial-console.rst): the name comes first.
void AppendConsoles(const HostSysfs& sysfs, const Interfaces& found,
                    std::vector<std::string>& uses) {
  const std::string consoles = ReadAttribute(sysfs.root() / "proc/consoles");
  for (const Interfaces::Node& node : found.nodes) {
    for (const std::string_view line : Split(consoles, '\n')) {
      if (line.starts_with(node.name + " "))
        uses.push_back(node.name + " is a console of the kernel");
    }
  }
}

}  // namespace

std::vector<std::string> UsesOf(const HostSysfs& sysfs, const OpenFiles& files,
                                const HostDevice& device) {
  std::vector<std::string> uses;
  std::error_code error;
  const fs::path folder = fs::canonical(sysfs.DevicePath(device), error);
  if (error) return uses;
  Interfaces found;
  Collect(folder, 0, found);
  CollectConsumers(folder, found);
  for (const std::string& name : found.up) uses.push_back("network interface " + name + " is up");
  AppendMounts(sysfs, found, uses);
  for (const std::string& held : found.held) uses.push_back(held);
  AppendConsoles(sysfs, found, uses);
  for (const Interfaces::Node& node : found.nodes) {
    const std::string path = (sysfs.root() / "dev" / node.name).string();
    for (const std::string& process : files.ProcessesWith(path)) {
      uses.push_back("process " + process + " has /dev/" + node.name + " open");
    }
  }
  return uses;
}

void CheckUnused(const HostSysfs& sysfs, const OpenFiles& files, const HostDevice& device) {
  if (device.driver.empty() || device.bound_to_vfio()) return;
  const std::vector<std::string> uses = UsesOf(sysfs, files, device);
  if (uses.empty()) return;
  std::string message = "'" + device.name + "' is in use by the host:";
  for (const std::string& use : uses) message += "\n  " + use;
  throw Error(message, device.driver_lets_go
                           ? "end that use first, or take the device all the same:\n"
                             "microvm device bind " +
                                 device.name + " --force"
                           : "its driver '" + device.driver +
                                 "' never lets go of it: boot the host without that driver");
}

}  // namespace microvm
