// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/vm_config.h"

#include <doctest/doctest.h>

#include <string>

#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr const char* kPath = "/etc/microvm/ecu.toml";

// The smallest configuration there is.
constexpr const char* kSmallest = "[memory]\nsize = \"128M\"\n[boot]\nkernel = \"Image\"\n";

VmConfig Parse(const std::string& text) { return ParseVmConfig(text, kPath); }

TEST_CASE("the smallest configuration names memory and kernel; the rest has defaults") {
  const VmConfig config = Parse(kSmallest);
  CHECK(config.name == "ecu");
  CHECK(config.restart == RestartPolicy::kNever);
  CHECK(config.cpu.count == 1);
  CHECK(config.cpu.affinity.empty());
  CHECK(config.cpu.policy == SchedulingPolicy::kOther);
  CHECK(config.cpu.priority == 0);
  CHECK_FALSE(config.cpu.pmu);
  CHECK_FALSE(config.cpu.sve);
  CHECK_FALSE(config.cpu.pauth);
  CHECK(config.memory.size_bytes == 128U << 20);
  CHECK(config.memory.hugepage_bytes == 0);
  CHECK_FALSE(config.memory.lock);
  CHECK(config.boot.kernel == "/etc/microvm/Image");
  CHECK_FALSE(config.boot.initrd.has_value());
  CHECK(config.boot.cmdline.empty());
  REQUIRE(config.consoles.size() == 1);
  CHECK(config.consoles[0].kind == ConsoleKind::kPl011);
  CHECK(config.consoles[0].input);
  CHECK_FALSE(config.consoles[0].path.has_value());
  CHECK(config.platform.empty());
}

TEST_CASE("every key of [cpu] is read") {
  const VmConfig config = Parse(std::string(kSmallest) +
                                "[cpu]\ncount = 2\naffinity = [3, 1]\npolicy = \"fifo\"\n"
                                "priority = 40\nfeatures = [\"pmu\", \"sve\", \"pauth\"]\n");
  CHECK(config.cpu.count == 2);
  CHECK(config.cpu.affinity == std::vector<unsigned>{3, 1});
  CHECK(config.cpu.policy == SchedulingPolicy::kFifo);
  CHECK(config.cpu.priority == 40);
  CHECK(config.cpu.pmu);
  CHECK(config.cpu.sve);
  CHECK(config.cpu.pauth);
}

TEST_CASE("the features of a guest CPU are asked for one by one") {
  const VmConfig config = Parse(std::string(kSmallest) + "[cpu]\nfeatures = [\"sve\"]\n");
  CHECK_FALSE(config.cpu.pmu);
  CHECK(config.cpu.sve);
  CHECK_FALSE(config.cpu.pauth);
}

TEST_CASE("every key of [memory] is read") {
  const VmConfig config = Parse(
      "[memory]\nsize = \"1G\"\nhugepages = \"2M\"\nlock = true\n[boot]\nkernel = \"Image\"\n");
  CHECK(config.memory.size_bytes == 1U << 30);
  CHECK(config.memory.hugepage_bytes == 2U << 20);
  CHECK(config.memory.lock);
}

TEST_CASE("paths of [boot] are relative to the file's folder, unless they are absolute") {
  const VmConfig config = Parse(
      "[memory]\nsize = \"128M\"\n[boot]\nkernel = \"/boot/Image\"\ninitrd = \"sub/initrd\"\n"
      "cmdline = \"console=ttyAMA0\"\n");
  CHECK(config.boot.kernel == "/boot/Image");
  REQUIRE(config.boot.initrd.has_value());
  CHECK(*config.boot.initrd == "/etc/microvm/sub/initrd");
  CHECK(config.boot.cmdline == "console=ttyAMA0");
}

TEST_CASE("every key of [[platform]] is read, in the order of the tables") {
  const VmConfig config = Parse(std::string(kSmallest) +
                                "[[platform]]\nhost = \"ff070000.canfd\"\ndma = \"none\"\n"
                                "ignore_dma_signs = true\nclocks = { can_clk = 25000000, 1 = 4 "
                                "}\ndrop = [\"dmas\", \"resets\"]\n"
                                "[[platform]]\nhost = \"ff120000.timer\"\n");
  REQUIRE(config.platform.size() == 2);
  const PlatformConfig& can = config.platform[0];
  CHECK(can.host == "ff070000.canfd");
  CHECK(can.dma == DmaMode::kNone);
  CHECK(can.ignore_dma_signs);
  CHECK_FALSE(config.platform[1].ignore_dma_signs);
  CHECK(can.clocks_hz == std::map<std::string, std::uint64_t>{{"1", 4}, {"can_clk", 25000000}});
  CHECK(can.drop == std::vector<std::string>{"dmas", "resets"});
  CHECK(config.platform[1].host == "ff120000.timer");
  CHECK(config.platform[1].dma == DmaMode::kIommu);
}

TEST_CASE("addresses and SPIs are one number or a list, and keep their places") {
  const VmConfig config = Parse(std::string(kSmallest) +
                                "[[platform]]\nhost = \"a\"\naddress = 0x14000000\nspi = 7\n"
                                "[[platform]]\nhost = \"b\"\naddress = [0x1000, 8192]\n"
                                "spi = [8, 9]\n");
  CHECK(config.platform[0].addresses == std::vector<std::uint64_t>{0x1400'0000});
  CHECK(config.platform[0].spis == std::vector<std::uint32_t>{7});
  CHECK(config.platform[1].addresses == std::vector<std::uint64_t>{0x1000, 0x2000});
  CHECK(config.platform[1].spis == std::vector<std::uint32_t>{8, 9});
  const std::string& place = config.platform[1].places.at("address");
  CHECK(place.ends_with(":11: platform.address"));
  CHECK(config.platform[1].places.at("drop").ends_with(": platform.drop"));
  CHECK(config.platform[1].places.at("clocks").ends_with(": platform.clocks"));
}

TEST_CASE("properties are strings, cells, lists of them, flags and bytes") {
  const auto value = [](const std::string& text) {
    const VmConfig config =
        Parse(std::string(kSmallest) +
              "[[platform]]\nhost = \"a\"\nproperties = { \"acme,p\" = " + text + " }\n");
    std::string hex;
    for (const std::byte byte : config.platform[0].properties.at("acme,p")) {
      hex += Hex(std::to_integer<unsigned>(byte)).substr(2) + " ";
    }
    return hex;
  };
  CHECK(value("\"ab\"") == "61 62 0 ");
  CHECK(value("[\"a\", \"\"]") == "61 0 0 ");
  CHECK(value("0x12345678") == "12 34 56 78 ");
  CHECK(value("[1, 0xffffffff]") == "0 0 0 1 ff ff ff ff ");
  CHECK(value("true").empty());
  CHECK(value("{ bytes = \"00 0aFF\" }") == "0 a ff ");
  CHECK(value("{ bytes = \"\" }").empty());
}

TEST_CASE("overlays are files beside the configuration's, in their order") {
  const VmConfig config = Parse(
      "[memory]\nsize = \"128M\"\n[boot]\nkernel = \"Image\"\noverlay = [\"a.dtbo\", "
      "\"/b.dtbo\"]\n");
  CHECK(config.boot.overlays ==
        std::vector<std::filesystem::path>{"/etc/microvm/a.dtbo", "/b.dtbo"});
}

TEST_CASE(
    "a device's interrupts go straight to the guest unless they are sent through user space") {
  const auto path = [](const std::string& line) {
    return Parse(std::string(kSmallest) + "[[platform]]\nhost = \"a\"\n" + line)
        .platform.front()
        .interrupts;
  };
  CHECK(path("") == InterruptPath::kIrqfd);
  CHECK(path("interrupts = \"irqfd\"\n") == InterruptPath::kIrqfd);
  CHECK(path("interrupts = \"userspace\"\n") == InterruptPath::kUserspace);
}

TEST_CASE("the interface of VFIO is chosen, and open descriptors are passed") {
  const VmConfig plain = Parse(std::string(kSmallest) + "[[platform]]\nhost = \"a\"\n");
  CHECK(plain.platform[0].backend == VfioBackend::kAuto);
  CHECK_FALSE(plain.platform[0].device_fd.has_value());
  CHECK_FALSE(plain.iommu_fd.has_value());
  const VmConfig config =
      Parse(std::string(kSmallest) +
            "[vfio]\niommu_fd = 3\n"
            "[[platform]]\nhost = \"a\"\nbackend = \"iommufd\"\ndevice_fd = 1023\n"
            "[[platform]]\nhost = \"b\"\nbackend = \"group\"\n"
            "[[platform]]\nhost = \"c\"\nbackend = \"auto\"\ndevice_fd = 4\n");
  CHECK(config.iommu_fd == 3);
  CHECK(config.platform[0].backend == VfioBackend::kIommufd);
  CHECK(config.platform[0].device_fd == 1023);
  CHECK(config.platform[1].backend == VfioBackend::kGroup);
  CHECK(config.platform[2].backend == VfioBackend::kAuto);
  CHECK(config.platform[2].device_fd == 4);
}

TEST_CASE("top-level keys give the name and the restart policy") {
  CHECK(Parse("name = \"a.B-9_\"\nrestart = \"on-failure\"\n" + std::string(kSmallest)).name ==
        "a.B-9_");
  const auto restart = [](const std::string& word) {
    return Parse("restart = \"" + word + "\"\n" + kSmallest).restart;
  };
  CHECK(restart("never") == RestartPolicy::kNever);
  CHECK(restart("on-failure") == RestartPolicy::kOnFailure);
  CHECK(restart("always") == RestartPolicy::kAlways);
}

TEST_CASE("sizes are bytes, or K, M and G of them") {
  const auto size = [](const std::string& value) {
    return Parse("[memory]\nsize = " + value + "\n[boot]\nkernel = \"Image\"\n").memory.size_bytes;
  };
  CHECK(size("2097152") == 2U << 20);
  CHECK(size("\"2097152\"") == 2U << 20);
  CHECK(size("\"2048K\"") == 2U << 20);
  CHECK(size("\"2M\"") == 2U << 20);
  CHECK(size("\"8G\"") == std::uint64_t{8} << 30);
}

TEST_CASE("the words of the configuration print as they are written") {
  CHECK(ToString(SchedulingPolicy::kOther) == "other");
  CHECK(ToString(SchedulingPolicy::kFifo) == "fifo");
  CHECK(ToString(SchedulingPolicy::kRoundRobin) == "rr");
  CHECK(ToString(RestartPolicy::kOnFailure) == "on-failure");
  CHECK(ToString(DmaMode::kNone) == "none");
  CHECK(ToString(DmaMode::kIdentity) == "identity");
  CHECK(ToString(DmaMode::kIommu) == "iommu");
  CHECK(ToString(VfioBackend::kAuto) == "auto");
  CHECK(ToString(VfioBackend::kIommufd) == "iommufd");
  CHECK(ToString(VfioBackend::kGroup) == "group");
}

TEST_CASE("a machine at the host's addresses has huge pages, of 2 MiB unless it says otherwise") {
  const auto memory = [](const std::string& more) {
    return ParseVmConfig("[memory]\nsize = \"1G\"\nidentity_file = \"/dev/hugepages/vm\"\n" + more +
                             "[boot]\nkernel = \"Image\"\n"
                             "[[platform]]\nhost = \"a\"\ndma = \"identity\"\n",
                         "vm.toml")
        .memory;
  };
  CHECK(memory("").identity_file == "/dev/hugepages/vm");
  CHECK(memory("").hugepage_bytes == 2U << 20);
  CHECK(memory("hugepages = \"1G\"\n").hugepage_bytes == 1U << 30);
}

}  // namespace
}  // namespace microvm
