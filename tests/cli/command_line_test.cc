// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/command_line.h"

#include <doctest/doctest.h>

#include <vector>

#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

CommandLine Parse(const std::vector<const char*>& arguments) { return ParseCommandLine(arguments); }

std::string Complaint(const std::vector<const char*>& arguments) {
  try {
    Parse(arguments);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("--config alone runs the guest") {
  const CommandLine line = Parse({"--config", "vm.toml"});
  CHECK(line.command == Command::kRun);
  CHECK(line.config == "vm.toml");
  CHECK_FALSE(line.stats.has_value());
}

TEST_CASE("options come in any order") {
  const CommandLine line = Parse({"--stats", "out.json", "--config", "vm.toml"});
  CHECK(line.command == Command::kRun);
  CHECK(line.config == "vm.toml");
  CHECK(line.stats == "out.json");
}

TEST_CASE("--check, --print-plan, --print-restart and --dump-dtb each choose a command") {
  CHECK(Parse({"--config", "f", "--check"}).command == Command::kCheck);
  CHECK(Parse({"--print-plan", "--config", "f"}).command == Command::kPrintPlan);
  CHECK(Parse({"--print-restart", "--config", "f"}).command == Command::kPrintRestart);
  const CommandLine dump = Parse({"--config", "f", "--dump-dtb", "out.dtb"});
  CHECK(dump.command == Command::kDumpDtb);
  CHECK(dump.dtb == "out.dtb");
}

TEST_CASE("--help and --version need nothing else and win over what follows") {
  CHECK(Parse({"--help"}).command == Command::kHelp);
  CHECK(Parse({"-h"}).command == Command::kHelp);
  CHECK(Parse({"--version", "--nonsense"}).command == Command::kVersion);
}

TEST_CASE("the help names every option and every exit status") {
  const std::string help = kHelpText;
  for (const char* word : {"--config",
                           "--stats",
                           "--check",
                           "--print-plan",
                           "--print-restart",
                           "--dump-dtb",
                           "--help",
                           "--version",
                           "device list",
                           "device inspect",
                           "device bind",
                           "device unbind",
                           "--tree",
                           "--json",
                           "--force",
                           "Ctrl-]",
                           "0 the guest powered off",
                           "1 set-up failed",
                           "2 the command line",
                           "3 the guest failed"}) {
    CAPTURE(word);
    CHECK(fakes::Contains(help, word));
  }
}

TEST_CASE("a wrong command line says what is wrong with it") {
  CHECK(Complaint({}) == "nothing to do");
  CHECK(Complaint({"--check"}) == "--config FILE is missing");
  CHECK(Complaint({"--config"}) == "--config needs a file");
  CHECK(Complaint({"--config", "--check"}) == "--config needs a file");
  CHECK(Complaint({"--config", "a", "--config", "b"}) == "--config is given twice");
  CHECK(Complaint({"--config", "a", "--stats"}) == "--stats needs a file");
  CHECK(Complaint({"--config", "a", "--dump-dtb"}) == "--dump-dtb needs a file");
  CHECK(Complaint({"--config", "a", "b"}) == "unknown argument 'b'");
  CHECK(Complaint({"--conf", "a"}) == "unknown argument '--conf'");
  CHECK(Complaint({"--config", "a", "--check", "--print-plan"}) ==
        "--check, --print-plan, --print-restart and --dump-dtb exclude each other");
  CHECK(Complaint({"--config", "a", "--print-restart", "--stats", "s"}) ==
        "--print-restart has no statistics");
}

TEST_CASE("device list takes nothing") {
  CHECK(Parse({"device", "list"}).command == Command::kDeviceList);
  CHECK(Complaint({"device", "list", "x"}) == "device list takes no name");
}

TEST_CASE("device inspect takes one name") {
  const CommandLine line = Parse({"device", "inspect", "ff070000.canfd"});
  CHECK(line.command == Command::kDeviceInspect);
  CHECK(line.devices == std::vector<std::string>{"ff070000.canfd"});
  CHECK(Complaint({"device", "inspect"}) == "device inspect takes one name");
  CHECK(Complaint({"device", "inspect", "a", "b"}) == "device inspect takes one name");
}

TEST_CASE("device list and inspect take another host's tree, and inspect then any node or none") {
  const CommandLine all = Parse({"device", "inspect", "--tree", "f.dtb", "--json"});
  CHECK(all.tree == "f.dtb");
  CHECK(all.json);
  CHECK(all.devices.empty());
  CHECK(Parse({"device", "inspect", "/a", "--tree", "f"}).devices ==
        std::vector<std::string>{"/a"});
  CHECK(Parse({"device", "list", "--tree", "f"}).tree == "f");
  CHECK(Complaint({"device", "inspect", "--tree"}) == "--tree needs a file");
  CHECK(Complaint({"device", "inspect", "a", "b", "--tree", "f"}) ==
        "device inspect --tree takes one node, or none for all of them");
  CHECK(Complaint({"device", "bind", "a", "--tree", "f"}) == "device bind: unknown option --tree");
}

TEST_CASE("only bind takes --force") {
  CHECK(Parse({"device", "bind", "a", "--force"}).force);
  CHECK(Complaint({"device", "unbind", "--force", "--config", "f"}) ==
        "device unbind: unknown option --force");
  CHECK_FALSE(Parse({"device", "bind", "a"}).force);
  CHECK(Complaint({"device", "inspect", "a", "--force"}) ==
        "device inspect: unknown option --force");
}

TEST_CASE("device bind and unbind take names or a configuration") {
  const CommandLine bind = Parse({"device", "bind", "a", "b"});
  CHECK(bind.command == Command::kDeviceBind);
  CHECK(bind.devices == std::vector<std::string>{"a", "b"});
  const CommandLine unbind = Parse({"device", "unbind", "--config", "vm.toml"});
  CHECK(unbind.command == Command::kDeviceUnbind);
  CHECK(unbind.config == "vm.toml");
  CHECK(Complaint({"device", "bind"}) == "device bind takes names, or --config FILE");
  CHECK(Complaint({"device", "unbind", "a", "--config", "f"}) ==
        "device unbind takes names, or --config FILE");
  CHECK(Complaint({"device", "bind", "--config"}) == "--config needs a file");
}

TEST_CASE("an unknown device command or option is named") {
  CHECK(Complaint({"device"}) == "device: list, inspect, bind or unbind?");
  CHECK(Complaint({"device", "eject"}) ==
        "device eject: no such command; list, inspect, bind or unbind");
  CHECK(Complaint({"device", "list", "--all"}) == "device list: unknown option --all");
  CHECK(Complaint({"device", "inspect", "--config", "f"}) ==
        "device inspect: unknown option --config");
}

}  // namespace
}  // namespace microvm
