// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/disk_config.h"

#include <doctest/doctest.h>

#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

constexpr const char* kBefore = "[memory]\nsize = \"4M\"\n[boot]\nkernel = \"Image\"\n";

std::string DiskProblems(const std::string& lines) {
  try {
    ParseVmConfig(kBefore + lines, "vm.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("every key of [[disk]] is read, in the order of the disks") {
  const VmConfig config = ParseVmConfig(
      std::string(kBefore) +
          "[[disk]]\npath = \"root.raw\"\n"
          "[[disk]]\npath = \"/dev/sda\"\nreadonly = true\nserial = \"S-1\"\nqueues = 4\n"
          "direct = true\n[rng]\n",
      "/etc/microvm/vm.toml");
  REQUIRE(config.disks.size() == 2);
  CHECK(config.disks[0].path == "/etc/microvm/root.raw");
  CHECK_FALSE(config.disks[0].readonly);
  CHECK(config.disks[0].serial.empty());
  CHECK(config.disks[0].queues == 1);
  CHECK_FALSE(config.disks[0].direct);
  CHECK(config.disks[1].path == "/dev/sda");
  CHECK(config.disks[1].readonly);
  CHECK(config.disks[1].serial == "S-1");
  CHECK(config.disks[1].queues == 4);
  CHECK(config.disks[1].direct);
  CHECK(config.rng.enabled);
}

TEST_CASE("without the tables there are no disks and no source of entropy") {
  const VmConfig config = ParseVmConfig(kBefore, "vm.toml");
  CHECK(config.disks.empty());
  CHECK_FALSE(config.rng.enabled);
}

TEST_CASE("problems of disks are told with their places") {
  CHECK(DiskProblems("[[disk]]\nreadonly = 1\nqueues = 17\nserial = \"with space\"\n") ==
        "vm.toml:5:1: disk.path: missing\n"
        "vm.toml:6:12: disk.readonly: must be true or false\n"
        "vm.toml:7:10: disk.queues: must be an integer from 1 to 16\n"
        "vm.toml:8:10: disk.serial: must be at most 20 visible ASCII characters");
  CHECK(DiskProblems("[[disk]]\npath = \"\"\nserial = \"123456789012345678901\"\n") ==
        "vm.toml:6:8: disk.path: is empty; it must be a file or a block device\n"
        "vm.toml:7:10: disk.serial: must be at most 20 visible ASCII characters");
  CHECK(DiskProblems("[rng]\nsource = 1\n") == "vm.toml:6:1: rng.source: unknown key");
}

TEST_CASE("one disk is given twice only to be read") {
  const auto twice = [](const char* first, const char* second) {
    return DiskProblems(std::string("[[disk]]\npath = \"d\"\n") + first +
                        "[[disk]]\npath = \"d\"\n" + second);
  };
  CHECK(twice("readonly = true\n", "readonly = true\n") == "");
  CHECK(twice("", "") ==
        "vm.toml:8:8: disk.path: the same disk twice, and not both times readonly");
  CHECK(twice("readonly = true\n", "") ==
        "vm.toml:9:8: disk.path: the same disk twice, and not both times readonly");
}

}  // namespace
}  // namespace microvm
