// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

VmConfig ParseVsock(const std::string& lines) {
  return ParseVmConfig("[memory]\nsize = \"4M\"\n[boot]\nkernel = \"Image\"\n" + lines, "vm.toml");
}

std::string VsockProblems(const std::string& lines) {
  try {
    ParseVsock(lines);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("every key of [vsock] is read") {
  const VmConfig config = ParseVsock("[vsock]\ncid = 4294967294\nvhost_fd = 7\n");
  REQUIRE(config.vsock.has_value());
  CHECK(config.vsock->cid == 4294967294);
  CHECK(config.vsock->vhost_fd == 7);
  CHECK_FALSE(ParseVsock("[vsock]\ncid = 3\n").vsock->vhost_fd.has_value());
  CHECK_FALSE(ParseVsock("").vsock.has_value());
}

TEST_CASE("problems of [vsock] are told with their places") {
  CHECK(VsockProblems("[vsock]\n") == "vm.toml:5:1: vsock.cid: missing");
  for (const std::string cid : {"2", "4294967295", "-3"}) {
    CHECK(VsockProblems("[vsock]\ncid = " + cid + "\nport = 1\n") ==
          "vm.toml:6:7: vsock.cid: must be an integer from 3 to 4294967294\n"
          "vm.toml:7:1: vsock.port: unknown key");
  }
  CHECK(VsockProblems("[vsock]\ncid = 3\nvhost_fd = 7\n[vfio]\niommu_fd = 7\n") ==
        "vm.toml:9:12: vfio.iommu_fd: the same descriptor twice");
  CHECK(VsockProblems("[vsock]\ncid = 3\n[vsock]\ncid = 4\n").starts_with("vm.toml:7:"));
}

}  // namespace
}  // namespace microvm
