// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>

#include "tests/fakes/exceptions.h"
#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

using fakes::Contains;

// The problems of a file called vm.toml; "" if there are none.
std::string ProblemsIn(const std::string& text) {
  try {
    ParseVmConfig(text, "vm.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

// The problems of `lines` put behind what every configuration needs, which is four lines.
std::string ProblemsBehind(const std::string& lines) {
  return ProblemsIn("[memory]\nsize = \"4M\"\n[boot]\nkernel = \"Image\"\n" + lines);
}

std::string ProblemOfSize(const std::string& value) {
  return ProblemsIn("[memory]\nsize = " + value + "\n[boot]\nkernel = \"Image\"\n");
}

TEST_CASE("an empty file lacks memory size and kernel") {
  CHECK(ProblemsIn("") == "vm.toml:1:1: memory.size: missing\nvm.toml:1:1: boot.kernel: missing");
}

TEST_CASE("a missing key is reported at its table") {
  CHECK(ProblemsIn("[boot]\nkernel = \"Image\"\n\n  [memory]\nlock = true\n") ==
        "vm.toml:4:3: memory.size: missing");
}

TEST_CASE("every problem is reported at once, in the order of the file") {
  CHECK(ProblemsIn("kernal = 'Image'\n"
                   "[cpu]\ncount = 0\npriority = 200\n"
                   "[memory]\nsize = \"3M\"\nlock = 1\n"
                   "[[platform]]\ndma = \"sometimes\"\n") ==
        "vm.toml:1:1: boot.kernel: missing\n"
        "vm.toml:1:1: kernal: unknown key\n"
        "vm.toml:3:9: cpu.count: must be an integer from 1 to 512\n"
        "vm.toml:4:12: cpu.priority: must be an integer from 1 to 99\n"
        "vm.toml:6:8: memory.size: must be a multiple of 2M\n"
        "vm.toml:7:8: memory.lock: must be true or false\n"
        "vm.toml:8:1: platform.host: missing\n"
        "vm.toml:9:7: platform.dma: must be one of \"none\", \"iommu\", \"identity\"");
}

TEST_CASE("signs of DMA are ignored only for a device that does none") {
  CHECK(ProblemsBehind("[[platform]]\nhost = \"a\"\nignore_dma_signs = true\n") ==
        "vm.toml:7:20: platform.ignore_dma_signs: is for dma = \"none\"");
}

TEST_CASE("DMA at the host's addresses needs a file, and the file a device that does it") {
  CHECK(
      ProblemsBehind("[[platform]]\nhost = \"a\"\ndma = \"identity\"\n") ==
      "vm.toml:7:7: platform.dma: \"identity\" needs memory.identity_file, the path of a file that "
      "is made in a hugetlbfs");
  CHECK(ProblemsIn("[memory]\nsize = \"4M\"\nidentity_file = \"/dev/hugepages/vm\"\n"
                   "[boot]\nkernel = \"Image\"\n[[platform]]\nhost = \"a\"\ndma = \"none\"\n") ==
        "vm.toml:3:17: memory.identity_file: is for devices with dma = \"identity\"");
}

TEST_CASE("descriptors are numbers, each of one thing, and for iommufd") {
  CHECK(ProblemsBehind("[vfio]\niommu_fd = 2\ngroup_fd = 5\n"
                       "[[platform]]\nhost = \"a\"\nbackend = \"container\"\ndevice_fd = 4\n"
                       "[[platform]]\nhost = \"b\"\nbackend = \"group\"\ndevice_fd = 4\n") ==
        "vm.toml:6:12: vfio.iommu_fd: must be an integer from 3 to 1023\n"
        "vm.toml:7:1: vfio.group_fd: unknown key\n"
        "vm.toml:10:11: platform.backend: must be one of \"auto\", \"iommufd\", \"group\"\n"
        "vm.toml:15:13: platform.device_fd: the same descriptor twice\n"
        "vm.toml:15:13: platform.device_fd: is for backend = \"iommufd\"");
}

TEST_CASE("a file that is not TOML is one problem at the place of the mistake") {
  CHECK(Contains(ProblemsIn("[memory]\nsize = \n"), "vm.toml:2:"));
  CHECK(Contains(ProblemsIn("[memory\n"), "vm.toml:1:8: "));
  CHECK(Contains(ProblemsIn("[cpu]\n[cpu]\n"), "vm.toml:2:"));
  CHECK(Contains(ProblemsIn("a = 1\na = 2\n"), "vm.toml:2:"));
  CHECK(Contains(ProblemsIn("name = \"\xff\"\n"), "vm.toml:1:"));
  for (const char* text :
       {"[;a]\n", "[[;a]]\n", "[a.;b]\n", "[.a]\n", "a.;b = 1\n", "a = [;]\n", "a = {;}\n"}) {
    CAPTURE(text);
    CHECK(Contains(ProblemsIn(text), "vm.toml:1:"));
  }
}

TEST_CASE("of an unknown key that resembles another the other is told") {
  CHECK(ProblemsBehind("[cpu]\ncuont = 1\n") ==
        "vm.toml:6:1: cpu.cuont: unknown key; did you mean 'count'?");
  CHECK(ProblemsBehind("[cpu]\naffinty = []\n") ==
        "vm.toml:6:1: cpu.affinty: unknown key; did you mean 'affinity'?");
  CHECK(ProblemsBehind("[cpu]\nc = 1\n") == "vm.toml:6:1: cpu.c: unknown key");
}

TEST_CASE("unknown keys are problems in every table") {
  CHECK(ProblemsBehind("[cpu]\nfreq = 1\n") == "vm.toml:6:1: cpu.freq: unknown key");
  CHECK(ProblemsBehind("cmd = 1\n") == "vm.toml:5:1: boot.cmd: unknown key");
  CHECK(ProblemsBehind("[console]\nspeed = 1\n") == "vm.toml:6:1: console.speed: unknown key");
  CHECK(ProblemsBehind("[[platform]]\nhost = \"a\"\nirq = 1\n") ==
        "vm.toml:7:1: platform.irq: unknown key");
  CHECK(ProblemsBehind("[floppy]\n") == "vm.toml:5:2: floppy: unknown key");
}

TEST_CASE("a table written as something else is a problem") {
  CHECK(ProblemsIn("memory = 5\n[boot]\nkernel = \"Image\"\n") ==
        "vm.toml:1:10: memory: must be a table\nvm.toml:1:10: memory.size: missing");
  CHECK(ProblemsBehind("[platform]\nhost = \"a\"\n") ==
        "vm.toml:5:1: platform: must be a list of tables: [[platform]]");
  CHECK(Contains(ProblemsIn("platform = [1]\n"), "vm.toml:1:13: platform: must be a table"));
}

TEST_CASE("values of the wrong type are problems") {
  CHECK(ProblemsBehind("cmdline = 5\n") == "vm.toml:5:11: boot.cmdline: must be a string");
  CHECK(ProblemsBehind("initrd = [\"a\"]\n") == "vm.toml:5:10: boot.initrd: must be a string");
  CHECK(ProblemsBehind("[cpu]\ncount = \"1\"\n") ==
        "vm.toml:6:9: cpu.count: must be an integer from 1 to 512");
  CHECK(ProblemsBehind("[cpu]\ncount = 1.0\n") ==
        "vm.toml:6:9: cpu.count: must be an integer from 1 to 512");
  CHECK(ProblemsBehind("[cpu]\naffinity = 1\n") ==
        "vm.toml:6:12: cpu.affinity: must be a list of integers");
  CHECK(ProblemsBehind("[cpu]\nfeatures = \"pmu\"\n") ==
        "vm.toml:6:12: cpu.features: must be a list of strings");
  CHECK(ProblemsBehind("[cpu]\nfeatures = [1]\n") ==
        "vm.toml:6:13: cpu.features: must be a string");
  CHECK(ProblemsBehind("[console]\nenabled = \"yes\"\n") ==
        "vm.toml:6:11: console.enabled: must be true or false");
  CHECK(ProblemsBehind("[[platform]]\nhost = \"a\"\nclocks = 5\n") ==
        "vm.toml:7:10: platform.clocks: must be a table of name = integer");
  CHECK(ProblemsBehind("[[platform]]\nhost = 1\n") ==
        "vm.toml:6:8: platform.host: must be a string");
}

TEST_CASE("a clock's rate is a positive integer that a cell of the tree can hold") {
  const auto problem = [](const std::string& rate) {
    return ProblemsBehind("[[platform]]\nhost = \"a\"\nclocks = { osc = " + rate + " }\n");
  };
  constexpr const char* kProblem =
      "vm.toml:7:18: platform.clocks.osc: must be an integer from 1 to 4294967295";
  CHECK(problem("0") == kProblem);
  CHECK(problem("-1") == kProblem);
  CHECK(problem("1.5") == kProblem);
  CHECK(problem("4294967296") == kProblem);
  CHECK(problem("4294967295").empty());
  CHECK(problem("1").empty());
}

TEST_CASE("a string cannot hide a NUL from the calls it will be given to") {
  CHECK(ProblemsBehind("cmdline = \"a\\u0000b\"\n") ==
        "vm.toml:5:11: boot.cmdline: must not contain a NUL character");
}

TEST_CASE("of a memory size that cannot be it is told what is wrong with it") {
  const auto check = [](const std::string& problem, std::initializer_list<const char*> values) {
    for (const char* value : values) {
      CAPTURE(value);
      CHECK(ProblemOfSize(value) == "vm.toml:2:8: memory.size: " + problem);
    }
  };
  CHECK(ProblemOfSize("\"2M\"").empty());
  CHECK(ProblemOfSize("\"2097152\"").empty());
  CHECK(ProblemOfSize("2097152").empty());
  check("must be a size such as \"128M\", or a number of bytes",
        {"\"\"", "\"M\"", "\" 2M\"", "\"-2M\"", "\"lots\"", "true", "2.0e6", "[2]"});
  check("\"2T\": only K, M or G may stand behind its digits", {"\"2T\""});
  check("\"2MB\": only K, M or G may stand behind its digits", {"\"2MB\""});
  for (const char* value : {"\"2 M\"", "\"0x200000\"", "\"2m\"", "\"2.5G\""}) {
    CAPTURE(value);
    CHECK(Contains(ProblemOfSize(value), "only K, M or G may stand behind its digits"));
  }
  check("must be more than 0", {"0", "\"0\"", "\"0G\"", "-2097152"});
  check("must be a multiple of 2M", {"\"1M\"", "\"3M\"", "\"1K\""});
  check("must be a multiple of 2M; without K, M or G it counts bytes",
        {"2097153", "128", "\"128\""});
  check("does not fit in 64 bits",
        {"\"18446744073709551616\"", "\"17179869184G\"", "\"36028797018963968G\""});
}

TEST_CASE("a file's path is not empty") {
  CHECK(ProblemsIn("[memory]\nsize = \"4M\"\n[boot]\nkernel = \"\"\ninitrd = \"\"\n"
                   "overlay = [\"a\", \"\"]\n") ==
        "vm.toml:4:10: boot.kernel: is empty; it must be the path of a file\n"
        "vm.toml:5:10: boot.initrd: is empty; it must be the path of a file\n"
        "vm.toml:6:11: boot.overlay: one is empty; each must be the path of a file");
  CHECK(ProblemsIn("[memory]\nsize = \"4M\"\nidentity_file = \"\"\n[boot]\nkernel = \"I\"\n"
                   "[[platform]]\nhost = \"a\"\ndma = \"identity\"\n") ==
        "vm.toml:3:17: memory.identity_file: is empty; it must be the path of a file");
}

TEST_CASE("huge pages have a size that a host can have") {
  const auto problem = [](const std::string& size) {
    return ProblemsBehind("[memory.x]\n").empty()
               ? ""
               : ProblemsIn("[memory]\nsize = \"1G\"\nhugepages = " + size +
                            "\n[boot]\nkernel = \"Image\"\n");
  };
  CHECK(problem("\"2M\"").empty());
  CHECK(problem("\"64K\"").empty());
  CHECK(problem("\"1G\"").empty());
  constexpr const char* kProblem =
      "vm.toml:3:13: memory.hugepages: must be a huge page size of the host, such as \"2M\" or "
      "\"1G\"";
  CHECK(problem("\"4K\"") == kProblem);
  CHECK(problem("\"3M\"") == kProblem);
  CHECK_FALSE(problem("true").empty());
}

TEST_CASE("the memory size is a multiple of the huge page size") {
  CHECK(ProblemsIn("[memory]\nsize = \"514M\"\nhugepages = \"4M\"\n[boot]\nkernel = \"I\"\n") ==
        "vm.toml:2:8: memory.size: must be a multiple of 'hugepages'");
}

TEST_CASE("the number of vCPUs is from 1 to what a GICv3 can have") {
  CHECK(ProblemsBehind("[cpu]\ncount = 512\n").empty());
  CHECK_FALSE(ProblemsBehind("[cpu]\ncount = 513\n").empty());
  CHECK_FALSE(ProblemsBehind("[cpu]\ncount = -1\n").empty());
}

TEST_CASE("a real-time profile needs vCPUs with a place and a priority of their own") {
  CHECK(ProblemsBehind("[realtime]\n[cpu]\npriority = 1\n") ==
        "vm.toml:6:1: cpu.affinity: must list the vCPUs' host CPUs, which [realtime] keeps for "
        "them\n"
        "vm.toml:6:1: cpu.policy: must be \"fifo\" or \"rr\" beside [realtime]\n"
        "vm.toml:7:12: cpu.priority: needs policy = \"fifo\" or \"rr\" beside it");
  const std::string cpu = "[cpu]\naffinity = [1]\npolicy = \"fifo\"\npriority = 1\n[realtime]\n";
  CHECK(ProblemsBehind(cpu + "housekeeping = [0, 1]\n") ==
        "vm.toml:10:16: realtime.housekeeping: CPU 1 is a vCPU's");
  CHECK(ProblemsBehind(cpu + "halt_poll_ns = 1000000001\n") ==
        "vm.toml:10:16: realtime.halt_poll_ns: must be an integer from 0 to 1000000000");
}

TEST_CASE("the affinity lists one host CPU for each vCPU") {
  CHECK(ProblemsBehind("[cpu]\ncount = 2\naffinity = [1]\n") ==
        "vm.toml:7:12: cpu.affinity: must list one host CPU for each of the 2 vCPUs");
  CHECK(ProblemsBehind("[cpu]\naffinity = [1, 2]\n") ==
        "vm.toml:6:12: cpu.affinity: must list one host CPU for each of the 1 vCPUs");
  CHECK(ProblemsBehind("[cpu]\naffinity = [1024]\n") ==
        "vm.toml:6:13: cpu.affinity: must be an integer from 0 to 1023");
  CHECK(ProblemsBehind("[cpu]\naffinity = []\n").empty());
}

TEST_CASE("a real-time policy needs a priority, and a priority such a policy") {
  CHECK(ProblemsBehind("[cpu]\npolicy = \"rr\"\n") ==
        "vm.toml:6:10: cpu.policy: needs a 'priority' from 1 to 99 beside it");
  CHECK(ProblemsBehind("[cpu]\npriority = 5\n") ==
        "vm.toml:6:12: cpu.priority: needs policy = \"fifo\" or \"rr\" beside it");
  CHECK(ProblemsBehind("[cpu]\npolicy = \"other\"\npriority = 5\n") ==
        "vm.toml:7:12: cpu.priority: needs policy = \"fifo\" or \"rr\" beside it");
  CHECK(ProblemsBehind("[cpu]\npolicy = \"rr\"\npriority = 1\n").empty());
  CHECK(ProblemsBehind("[cpu]\npolicy = \"batch\"\n") ==
        "vm.toml:6:10: cpu.policy: must be one of \"other\", \"fifo\", \"rr\"");
}

TEST_CASE("an unknown CPU feature is named") {
  CHECK(ProblemsBehind("[cpu]\nfeatures = [\"pmu\", \"sme\"]\n") ==
        "vm.toml:6:12: cpu.features: \"sme\": must be \"pmu\", \"sve\" or \"pauth\"");
}

TEST_CASE("the command line is no longer than Linux takes") {
  CHECK(ProblemsBehind("cmdline = \"" + std::string(2047, 'x') + "\"\n").empty());
  CHECK(ProblemsBehind("cmdline = \"" + std::string(2048, 'x') + "\"\n") ==
        "vm.toml:5:11: boot.cmdline: longer than the 2047 characters that Linux takes");
}

TEST_CASE("a VM's name can be part of a file's name") {
  CHECK(ProblemsIn("name = \"a/b\"\n[memory]\nsize = \"2M\"\n[boot]\nkernel = \"I\"\n") ==
        "vm.toml:1:8: name: must be letters, digits, '-', '_' and '.'");
  CHECK_FALSE(ProblemsIn("name = \"\"\n[memory]\nsize = \"2M\"\n[boot]\nkernel = \"I\"\n").empty());
}

TEST_CASE("a device's name cannot lead out of its folder in sysfs") {
  const auto problem = [](const std::string& host) {
    return ProblemsBehind("[[platform]]\nhost = \"" + host + "\"\n");
  };
  constexpr const char* kProblem =
      "vm.toml:6:8: platform.host: must be a name under /sys/bus/platform/devices";
  for (const char* host : {"", ".", "..", "../x", "a/b", "a b", "a\\tb", "a\\\"b"}) {
    CAPTURE(host);
    CHECK(problem(host) == kProblem);
  }
  CHECK(problem("ff070000.canfd").empty());
  CHECK(problem("arm-smmu-v3.0.auto").empty());
}

TEST_CASE("an unknown way of interrupts is answered with those there are") {
  CHECK(ProblemsBehind("[[platform]]\nhost = \"a\"\ninterrupts = \"polled\"\n") ==
        "vm.toml:7:14: platform.interrupts: must be one of \"irqfd\", \"userspace\"");
}

TEST_CASE("a property that cannot be is reported at its value") {
  const auto problem = [](const std::string& property) {
    return ProblemsBehind("[[platform]]\nhost = \"a\"\nproperties.\"" + property + "\n");
  };
  constexpr const char* kProblem =
      ": must be a string, a 32-bit cell, a list of either, true, or { bytes = \"00 0a\" }";
  for (const char* value :
       {"false", "-1", "0x100000000", "1.5", "[]", "[1, \"a\"]", "[[1]]", "{ bytes = \"0\" }",
        "{ bytes = \"0g\" }", "{ bytes = 1 }", "{ words = \"00\" }", R"("a\u0000b")"}) {
    CAPTURE(value);
    CHECK(problem("p\" = " + std::string(value)) ==
          "vm.toml:7:18: platform.properties.p" + std::string(kProblem));
  }
  CHECK(problem("reg\" = 1") == "vm.toml:7:20: platform.properties.reg: is decided by the plan");
  CHECK(problem("device_type\" = \"memory\"") ==
        "vm.toml:7:1: platform.properties: device_type = \"memory\": a device is no RAM of the "
        "guest's");
  CHECK(problem("a/b\" = 1") == "vm.toml:7:20: platform.properties.a/b: is no name of a property");
  CHECK(ProblemsBehind("[[platform]]\nhost = \"a\"\nproperties = 1\n") ==
        "vm.toml:7:14: platform.properties: must be a table of property = value");
}

TEST_CASE("addresses and SPIs out of their range are reported at their place") {
  const auto problem = [](const std::string& line) {
    return ProblemsBehind("[[platform]]\nhost = \"a\"\n" + line + "\n");
  };
  CHECK(problem("spi = 960") == "vm.toml:7:7: platform.spi: must be an integer from 0 to 959");
  CHECK(problem("spi = [1, -1]") == "vm.toml:7:11: platform.spi: must be an integer from 0 to 959");
  CHECK(problem("address = \"0x1000\"") ==
        "vm.toml:7:11: platform.address: must be an integer from 0 to 9223372036854775807");
}

TEST_CASE("one device cannot be given to a guest twice") {
  CHECK(ProblemsBehind("[[platform]]\nhost = \"a\"\n[[platform]]\nhost = \"b\"\n"
                       "[[platform]]\nhost = \"a\"\n") ==
        "vm.toml:10:8: platform.host: the same device twice");
}

}  // namespace
}  // namespace microvm
