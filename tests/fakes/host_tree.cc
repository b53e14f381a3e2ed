// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/host_tree.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "tests/fakes/test_paths.h"
#include "vmm/fdt/device_tree.h"
#include "vmm/host/file.h"

namespace microvm::fakes {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLiveTree = "sys/firmware/devicetree/base";

void WriteNode(const fs::path& folder, const DtNode& node) {
  fs::create_directories(folder);
  for (const DtProperty& property : node.properties()) {
    std::ofstream file(folder / property.name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(property.value.data()),
               static_cast<std::streamsize>(property.value.size()));
  }
  std::ofstream(folder / "name") << node.name().substr(0, node.name().find('@')) << '\0';
  for (const DtNode& child : node.children()) WriteNode(folder / child.name(), child);
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "microvm-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

fs::path TemporaryFolder::Write(const fs::path& name, std::string_view content) const {
  fs::create_directories((path_ / name).parent_path());
  std::ofstream(path_ / name, std::ios::binary) << content;
  return path_ / name;
}

fs::path TemporaryFolder::Write(const fs::path& name, std::span<const std::byte> content) const {
  return Write(name,
               std::string_view(reinterpret_cast<const char*>(content.data()), content.size()));
}

HostTree::HostTree() {
  fs::create_directories(root() / "sys/bus/platform/devices");
  fs::create_directories(root() / "sys/bus/amba/devices");
  fs::create_directories(root() / "dev/vfio");
  Write("proc/interrupts", "           CPU0       CPU1\n");
  Write("sys/bus/platform/drivers_probe", "");
  Write("sys/bus/amba/drivers_probe", "");
  AddDriver("platform", "vfio-platform");
  AddDriver("amba", "vfio-amba");
}

void HostTree::AddDriver(const std::string& bus, const std::string& driver) const {
  Write("sys/bus/" + bus + "/drivers/" + driver + "/bind", "");
  Write("sys/bus/" + bus + "/drivers/" + driver + "/unbind", "");
}

void HostTree::AddDevice(const HostTreeDevice& device) const {
  const fs::path bus = root() / "sys/bus" / device.bus;
  const fs::path real = root() / "sys/devices" / device.name;
  fs::create_directories(real);
  fs::create_directories(bus / "devices");
  fs::create_directory_symlink(real, bus / "devices" / device.name);
  fs::create_directory_symlink(bus, real / "subsystem");
  Write("sys/devices/" + device.name + "/driver_override", "(null)\n");
  if (!device.driver.empty()) {
    AddDriver(device.bus, device.driver);
    fs::create_directory_symlink(bus / "drivers" / device.driver, real / "driver");
  }
  if (device.group) {
    const std::string group = "sys/kernel/iommu_groups/" + std::to_string(*device.group);
    Write(group + "/name", device.no_iommu ? "vfio-noiommu\n" : "");
    fs::create_directories(root() / group / "devices");
    fs::create_directory_symlink(real, root() / group / "devices" / device.name);
    fs::create_directory_symlink(root() / group, real / "iommu_group");
  }
  if (device.cdev) {
    // /dev/null's number: every descriptor of a FakeKernel is that, really.
    const std::string cdev = "vfio-dev/vfio" + std::to_string(*device.cdev);
    Write("sys/devices/" + device.name + "/" + cdev + "/dev", "1:3\n");
  }
  if (device.node.empty()) return;
  const fs::path node = root() / (kLiveTree + device.node);
  fs::create_directories(node);
  if (!device.compatible.empty()) {
    std::ofstream(node / "compatible", std::ios::binary) << device.compatible << '\0';
  }
  fs::create_directory_symlink(node, real / "of_node");
}

void HostTree::SetFirmwareTree(std::span<const std::byte> blob) const {
  folder_.Write("sys/firmware/fdt", blob);
}

void HostTree::SetLiveTree(std::span<const std::byte> blob) const {
  const DeviceTree tree({blob.begin(), blob.end()});
  WriteNode(root() / kLiveTree, tree.root());
}

void HostTree::SetInterrupts(std::string_view text) const { Write("proc/interrupts", text); }

void HostTree::SetClockRate(const std::string& clock, std::string_view text) const {
  Write("sys/kernel/debug/clk/" + clock + "/clk_rate", text);
}

void HostTree::AddProcess(unsigned pid, const std::string& name, const std::string& path) const {
  const std::string folder = "proc/" + std::to_string(pid);
  Write(folder + "/comm", name + "\n");
  fs::create_directories(root() / folder / "fd");
  fs::create_symlink(path, root() / folder / "fd/5");
}

std::string HostTree::Read(const std::string& path) const {
  return ReadTextFile((root() / path).string());
}

std::vector<std::byte> TreeBlob(const std::string& name) {
  return ReadFile(std::string(kTestTrees) + "/" + name + ".dtb");
}

std::string Golden(const std::string& name, const std::string& shown) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  if (const char* folder = std::getenv("MICROVM_GOLDENS_TO")) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    std::filesystem::create_directories(path.parent_path());
    WriteFile(path.string(), shown);
  }
  return ReadTextFile(std::string(kTestData) + "/" + name);
}

}  // namespace microvm::fakes
