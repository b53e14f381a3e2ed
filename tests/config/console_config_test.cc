// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/console_config.h"

#include <doctest/doctest.h>

#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

constexpr const char* kOthers = "[memory]\nsize = \"4M\"\n[boot]\nkernel = \"Image\"\n";

std::vector<ConsoleConfig> Consoles(const std::string& lines) {
  return ParseVmConfig(kOthers + lines, "/etc/microvm/vm.toml").consoles;
}

std::string ConsoleProblems(const std::string& lines) {
  try {
    ParseVmConfig(kOthers + lines, "vm.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("without a table, and with one, the console is a PL011 on standard streams") {
  for (const char* lines : {"", "[console]\n", "[[console]]\nkind = \"pl011\"\n"}) {
    const auto consoles = Consoles(lines);
    REQUIRE(consoles.size() == 1);
    CHECK(consoles[0].kind == ConsoleKind::kPl011);
    CHECK(consoles[0].input);
    CHECK_FALSE(consoles[0].path.has_value());
    CHECK(HasPl011(consoles));
  }
}

TEST_CASE("the one console can be switched off, its input alone, or be a virtio console") {
  CHECK(Consoles("[console]\nenabled = false\n").empty());
  CHECK_FALSE(Consoles("[console]\ninput = false\n").at(0).input);
  const auto consoles = Consoles("[console]\nkind = \"hvc\"\npath = \"log\"\n");
  CHECK(consoles.at(0).kind == ConsoleKind::kHvc);
  CHECK(*consoles.at(0).path == "/etc/microvm/log");
  CHECK_FALSE(HasPl011(consoles));
}

TEST_CASE("several consoles are virtio consoles unless they say what they are") {
  const auto consoles = Consoles(
      "[[console]]\n[[console]]\nkind = \"pl011\"\npath = \"/dev/ttyS1\"\n"
      "[[console]]\nenabled = false\n[[console]]\npath = \"log\"\ninput = false\n");
  REQUIRE(consoles.size() == 3);
  CHECK(consoles[0].kind == ConsoleKind::kHvc);
  CHECK_FALSE(consoles[0].path.has_value());
  CHECK(consoles[1].kind == ConsoleKind::kPl011);
  CHECK(*consoles[1].path == "/dev/ttyS1");
  CHECK(consoles[2].kind == ConsoleKind::kHvc);
  CHECK(*consoles[2].path == "/etc/microvm/log");
  CHECK_FALSE(consoles[2].input);
  const std::string none = std::string("console = []\n") + kOthers;
  CHECK(ParseVmConfig(none, "vm.toml").consoles.empty());
}

TEST_CASE("problems of consoles are told with their places") {
  CHECK(ConsoleProblems("[console]\nkind = \"uart\"\ninput = 1\npath = \"\"\nspeed = 1\n") ==
        "vm.toml:6:8: console.kind: must be one of \"pl011\", \"hvc\"\n"
        "vm.toml:7:9: console.input: must be true or false\n"
        "vm.toml:8:8: console.path: is empty; it must be a file, a FIFO or a terminal\n"
        "vm.toml:9:1: console.speed: unknown key");
  CHECK(ConsoleProblems("[[console]]\n[[console]]\ninput = false\n") ==
        "vm.toml:6:1: console.path: missing; an earlier console has standard output and input");
  CHECK(ConsoleProblems("[[console]]\npath = \"a\"\n[[console]]\npath = \"a\"\n") ==
        "vm.toml:8:8: console.path: the same path twice");
  CHECK(
      ConsoleProblems(
          "[[console]]\nkind = \"pl011\"\n[[console]]\nkind = \"pl011\"\npath = \"a\"\n") ==
      "vm.toml:8:8: console.kind: a second \"pl011\"; a guest has one, and any number of \"hvc\"");
}

TEST_CASE("[rtc] has no keys") {
  CHECK(ParseVmConfig(std::string(kOthers) + "[rtc]\n", "vm.toml").rtc.enabled);
  CHECK_FALSE(ParseVmConfig(kOthers, "vm.toml").rtc.enabled);
  CHECK(ConsoleProblems("[rtc]\nbase = 1\n") == "vm.toml:6:1: rtc.base: unknown key");
}

}  // namespace
}  // namespace microvm
