// SPDX-License-Identifier: Apache-2.0
// Which folder may know of which: the shape of the program, checked.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/test_paths.h"
#include "vmm/host/file.h"

namespace microvm {
namespace {

namespace fs = std::filesystem;

struct Include {
  std::string from;  // a file, from the root of the sources
  std::string what;  // between quotes or brackets
};

// Every #include of the program's own sources.
std::vector<Include> AllIncludes() {
  const fs::path root = fakes::kTestSources;
  std::vector<Include> includes;
  for (const char* top : {"vmm", "devices", "arch"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      if (!entry.is_regular_file()) continue;
      const std::string text = ReadTextFile(entry.path().string());
      const std::string from = fs::relative(entry.path(), root).string();
      for (std::size_t at = text.find("#include "); at != std::string::npos;
           at = text.find("#include ", at + 1)) {
        const std::size_t end = text.find_first_of(">\"\n", at + 10);
        includes.push_back({from, text.substr(at + 10, end - at - 10)});
      }
    }
  }
  return includes;
}

bool StartsWithAny(const std::string& text, const std::vector<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    if (text.starts_with(prefix)) return true;
  }
  return false;
}

// Includes of `what` from files that are neither below `allowed` nor outside `from`.
std::string Strays(const std::string& what, const std::vector<std::string>& from,
                   const std::vector<std::string>& allowed) {
  std::string strays;
  for (const Include& include : AllIncludes()) {
    if (!include.what.starts_with(what) || !StartsWithAny(include.from, from)) continue;
    if (!StartsWithAny(include.from, allowed)) strays += include.from + ": " + include.what + "\n";
  }
  return strays;
}

const std::vector<std::string> kEverywhere = {""};

TEST_CASE("the sources are where this test looks for them") {
  CHECK(AllIncludes().size() > 200);
  CHECK(Strays("vmm/host/host_kernel.h", kEverywhere, {}) != "");
}

TEST_CASE("what only decides does not reach the kernel") {
  const std::vector<std::string> pure = {"vmm/config/", "vmm/plan/", "vmm/fdt/", "vmm/inspect/",
                                         "vmm/memory/address_"};
  CHECK(Strays("vmm/host/host_kernel.h", pure, {}) == "");
  CHECK(Strays("vmm/host/linux_kernel.h", pure, {}) == "");
  CHECK(Strays("sys/", pure, {}) == "");
}

TEST_CASE(
    "KVM's user API is used by the KVM wrappers, the vCPU's loop and the interrupt "
    "controller only") {
  CHECK(Strays("linux/kvm.h", kEverywhere,
               {"vmm/kvm/", "vmm/machine/vcpu_thread", "arch/arm64/"}) == "");
}

TEST_CASE("VFIO's user API is used by the VFIO wrappers only") {
  CHECK(Strays("linux/vfio.h", kEverywhere, {"devices/vfio/"}) == "");
}

TEST_CASE("vhost's user API is used by the devices whose queues it serves only") {
  CHECK(Strays("linux/vhost.h", kEverywhere, {"devices/virtio/vhost_uapi.h"}) == "");
  CHECK(Strays("devices/virtio/vhost_uapi.h", kEverywhere, {"devices/virtio/"}) == "");
}

TEST_CASE("the GPIO character device's user API is used in one file only") {
  CHECK(Strays("linux/gpio.h", kEverywhere, {"devices/gpio/host_gpio.cc"}) == "");
}

TEST_CASE("devices do not know the architecture") {
  CHECK(Strays("arch/", {"devices/"}, {}) == "");
}

TEST_CASE("the machine is known to the command line only") {
  CHECK(Strays("vmm/machine/", kEverywhere, {"vmm/machine/", "vmm/cli/"}) == "");
  CHECK(Strays("vmm/cli/", kEverywhere, {"vmm/cli/", "vmm/main.cc"}) == "");
}

TEST_CASE("an inspection looks at the running host in one place") {
  CHECK(Strays("vmm/host/host_device.h", {"vmm/inspect/"}, {"vmm/inspect/live_facts"}) == "");
  CHECK(Strays("vmm/passthrough/", {"vmm/inspect/"}, {"vmm/inspect/live_facts"}) == "");
}

TEST_CASE("the device-tree library is used in one folder") {
  CHECK(Strays("libfdt.h", kEverywhere, {"vmm/fdt/"}) == "");
}

TEST_CASE("the event loop stays with the machine") {
  CHECK(Strays("asio", kEverywhere, {"vmm/machine/"}) == "");
}

}  // namespace
}  // namespace microvm
