// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/net_config.h"

#include <doctest/doctest.h>

#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

constexpr const char* kMachine =
    "name = \"ecu\"\n[memory]\nsize = \"4M\"\n[boot]\nkernel = \"Image\"\n";

VmConfig ParseNets(const std::string& lines) { return ParseVmConfig(kMachine + lines, "vm.toml"); }

std::string NetProblems(const std::string& lines) {
  try {
    ParseNets(lines);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("every key of [[net]] is read, in the order of the networks") {
  const VmConfig config = ParseNets(
      "[[net]]\ntap = \"tap0\"\nmac = \"52:54:00:ab:CD:ef\"\nqueues = 4\nvhost = false\n"
      "[[net]]\ntap_fd = 7\n[[net]]\ntap_fd = [8, 9]\n");
  REQUIRE(config.nets.size() == 3);
  CHECK(config.nets[0].tap == "tap0");
  CHECK(config.nets[0].tap_fds.empty());
  CHECK(ToString(config.nets[0].mac) == "52:54:00:ab:cd:ef");
  CHECK(config.nets[0].queues == 4);
  CHECK_FALSE(config.nets[0].vhost);
  CHECK(config.nets[1].tap.empty());
  CHECK(config.nets[1].tap_fds == std::vector<int>{7});
  CHECK(config.nets[1].queues == 1);
  CHECK(config.nets[2].tap_fds == std::vector<int>{8, 9});
  CHECK(config.nets[2].queues == 2);
}

TEST_CASE("an address that is not given is the machine's own, and always the same") {
  const auto mac = ParseNets("[[net]]\ntap = \"tap0\"\n").nets.at(0).mac;
  CHECK(mac == DefaultMac("ecu", 0));
  // Guests know their interfaces by it: it stays over versions.
  CHECK(ToString(DefaultMac("ecu", 0)) == "86:56:ae:81:60:69");
  CHECK(ToString(DefaultMac("ecu", 1)) == "36:58:ae:81:60:6a");
  for (const char* name : {"a", "b", "ecu", "vm", "x"}) {
    CHECK((DefaultMac(name, 0)[0] & 3) == 2);
    CHECK(DefaultMac(name, 0) != DefaultMac(name, 1));
  }
}

TEST_CASE("problems of networks are told with their places") {
  CHECK(NetProblems("[[net]]\n") ==
        "vm.toml:6:1: net.tap: missing: the name of a tap (or 'tap_fd', one that is open)");
  CHECK(
      NetProblems("[[net]]\ntap = \"tap0\"\ntap_fd = 3\nqueues = 9\nmtu = 1\n") ==
      "vm.toml:8:10: net.tap_fd: is for a tap that somebody else has opened: leave out one of the "
      "two\n"
      "vm.toml:9:10: net.queues: must be an integer from 1 to 8\n"
      "vm.toml:10:1: net.mtu: unknown key");
  CHECK(NetProblems("[[net]]\ntap_fd = [3, 4]\nqueues = 3\n") ==
        "vm.toml:7:10: net.tap_fd: must have one descriptor for each of the 3 queues");
  CHECK(NetProblems("[[net]]\ntap_fd = 2\n") ==
        "vm.toml:7:10: net.tap_fd: must be an integer from 3 to 1023");
  CHECK(NetProblems("[vfio]\niommu_fd = 5\n[[net]]\ntap_fd = 5\n") != "");
  CHECK(NetProblems("[[net]]\ntap = \"tap0\"\nvhost = true\n") == "");
  CHECK(NetProblems("[[net]]\ntap = \"tap0\"\nqueues = 2\nvhost = true\n") ==
        "vm.toml:9:9: net.vhost: is for queues = 1: the host's kernel carries one pair");
  for (const char* name : {"", "a/b", "sixteen-letters-", "tap%d", "tap 0", "..", "a:b"}) {
    CHECK(NetProblems("[[net]]\ntap = \"" + std::string(name) + "\"\n") ==
          "vm.toml:7:7: net.tap: must be the name of an interface: up to 15 characters, no spaces");
  }
}

TEST_CASE("an address must be one of one interface") {
  const auto problem = [](const std::string& mac) {
    return NetProblems("[[net]]\ntap = \"tap0\"\nmac = \"" + mac + "\"\n");
  };
  const std::string form = "vm.toml:8:7: net.mac: must be six octets such as \"52:54:00:12:34:56\"";
  CHECK(problem("02:00:00:00:00:01") == "");
  for (const char* mac : {"", "02:00:00:00:00", "02:00:00:00:00:0g", "02-00-00-00-00-01",
                          "02:00:00:00:00:01:02", "2:00:00:00:00:001"}) {
    CHECK(problem(mac) == form);
  }
  CHECK(problem("01:00:5e:00:00:01") ==
        "vm.toml:8:7: net.mac: is an address of many (its first octet is odd), not of one "
        "interface");
  CHECK(problem("00:00:00:00:00:00") ==
        "vm.toml:8:7: net.mac: is no address; leave it out for one of the machine's own");
}

TEST_CASE("a tap and an address are of one network") {
  CHECK(NetProblems("[[net]]\ntap = \"a\"\n[[net]]\ntap = \"a\"\n") ==
        "vm.toml:9:7: net.tap: the same tap twice");
  CHECK(NetProblems("[[net]]\ntap = \"a\"\nmac = \"02:00:00:00:00:01\"\n"
                    "[[net]]\ntap = \"b\"\nmac = \"02:00:00:00:00:01\"\n") ==
        "vm.toml:11:7: net.mac: the same address twice");
  CHECK(NetProblems("[[net]]\ntap_fd = 5\n[[net]]\ntap_fd = 5\n") ==
        "vm.toml:9:10: net.tap_fd: the same descriptor twice");
}

}  // namespace
}  // namespace microvm
