// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/command_line.h"

#include <string_view>

namespace microvm {

const char* const kHelpText =
    R"(microvm runs a virtual machine that owns devices of this host.

  microvm --config FILE [--stats FILE]     run it; its console is standard input and output
  microvm --config FILE --check            open its devices and files, plan, and exit
  microvm --config FILE --print-plan       show every address, interrupt and property decided
  microvm --config FILE --print-restart    show its key restart, without opening anything else
  microvm --config FILE --dump-dtb FILE    write the guest's device tree; a FILE.dts is source that
                                           says of each property where it came from
  microvm device list [--json]             the host's devices, and whether they can be passed through
  microvm device inspect NAME [--json]     what one has, what keeps it from being passed through, the fix
  microvm device list | inspect [NODE] --tree FILE [--json]    the same, of a .dtb of any host
  microvm device bind NAME... | --config FILE [--force]      hand devices to VFIO
  microvm device unbind NAME... | --config FILE              give them back to the host's drivers
  microvm doctor [--config FILE]           what to change on this host for steady interrupts
  microvm --help | --version

  --stats FILE   at exit, write what happened as JSON: start-up phases, exits, interrupts; goes with
                 --check, --print-plan and --dump-dtb too
  --force        bind devices that the host uses, too

In a terminal, Ctrl-] q ends the guest.
Exit status: 0 the guest powered off, or was told to stop; 1 set-up failed; 2 the command line or
the configuration is wrong; 3 the guest failed.
)";

namespace {

class Arguments {
 public:
  explicit Arguments(std::span<const char* const> list) : list_(list) {}

  [[nodiscard]] bool empty() const { return list_.empty(); }
  std::string Next() {
    std::string argument = list_.front();
    list_ = list_.subspan(1);
    return argument;
  }
  std::string ValueOf(const std::string& option) {
    if (list_.empty() || std::string_view(list_.front()).starts_with("--")) {
      throw UsageError(option + " needs a file");
    }
    return Next();
  }

 private:
  std::span<const char* const> list_;
};

Command DeviceCommand(const std::string& verb) {
  if (verb == "list") return Command::kDeviceList;
  if (verb == "inspect") return Command::kDeviceInspect;
  if (verb == "bind") return Command::kDeviceBind;
  if (verb == "unbind") return Command::kDeviceUnbind;
  throw UsageError("device " + verb + ": no such command; list, inspect, bind or unbind");
}

void CheckDevice(const CommandLine& line, const std::string& verb, bool takes_config) {
  if (verb == "list" && !line.devices.empty()) throw UsageError("device list takes no name");
  if (verb == "inspect" && line.tree.empty() && line.devices.size() != 1) {
    throw UsageError("device inspect takes one name");
  }
  if (verb == "inspect" && line.devices.size() > 1) {
    throw UsageError("device inspect --tree takes one node, or none for all of them");
  }
  if (takes_config && line.devices.empty() == line.config.empty()) {
    throw UsageError("device " + verb + " takes names, or --config FILE");
  }
}

CommandLine ParseDevice(Arguments arguments) {
  CommandLine line;
  if (arguments.empty()) throw UsageError("device: list, inspect, bind or unbind?");
  const std::string verb = arguments.Next();
  line.command = DeviceCommand(verb);
  const bool takes_config = verb == "bind" || verb == "unbind";
  while (!arguments.empty()) {
    const std::string argument = arguments.Next();
    if (argument == "--config" && takes_config) {
      line.config = arguments.ValueOf(argument);
    } else if (argument == "--force" && verb == "bind") {
      line.force = true;
    } else if (argument == "--tree" && !takes_config) {
      line.tree = arguments.ValueOf(argument);
    } else if (argument == "--json" && !takes_config) {
      line.json = true;
    } else if (argument.starts_with("-")) {
      throw UsageError(std::string("device ").append(verb).append(": unknown option ") + argument);
    } else {
      line.devices.push_back(argument);
    }
  }
  CheckDevice(line, verb, takes_config);
  return line;
}

CommandLine ParseDoctor(Arguments arguments) {
  CommandLine line;
  line.command = Command::kDoctor;
  while (!arguments.empty()) {
    const std::string argument = arguments.Next();
    if (argument != "--config") throw UsageError("doctor: unknown argument '" + argument + "'");
    if (!line.config.empty()) throw UsageError("--config is given twice");
    line.config = arguments.ValueOf(argument);
  }
  return line;
}

}  // namespace

CommandLine ParseCommandLine(std::span<const char* const> list) {
  Arguments arguments(list);
  if (arguments.empty()) throw UsageError("nothing to do");
  if (std::string_view(list.front()) == "device") return ParseDevice(Arguments(list.subspan(1)));
  if (std::string_view(list.front()) == "doctor") return ParseDoctor(Arguments(list.subspan(1)));
  CommandLine line;
  std::optional<Command> command;
  const auto choose = [&](Command chosen) {
    if (command) {
      throw UsageError("--check, --print-plan, --print-restart and --dump-dtb exclude each other");
    }
    command = chosen;
  };
  while (!arguments.empty()) {
    const std::string argument = arguments.Next();
    if (argument == "--help" || argument == "-h") {
      line.command = Command::kHelp;
      return line;
    }
    if (argument == "--version") {
      line.command = Command::kVersion;
      return line;
    }
    if (argument == "--config") {
      if (!line.config.empty()) throw UsageError("--config is given twice");
      line.config = arguments.ValueOf(argument);
    } else if (argument == "--stats") {
      if (line.stats) throw UsageError("--stats is given twice");
      line.stats = arguments.ValueOf(argument);
    } else if (argument == "--check") {
      choose(Command::kCheck);
    } else if (argument == "--print-plan") {
      choose(Command::kPrintPlan);
    } else if (argument == "--print-restart") {
      choose(Command::kPrintRestart);
    } else if (argument == "--dump-dtb") {
      choose(Command::kDumpDtb);
      line.dtb = arguments.ValueOf(argument);
    } else {
      throw UsageError("unknown argument '" + argument + "'");
    }
  }
  if (line.config.empty()) throw UsageError("--config FILE is missing");
  line.command = command.value_or(Command::kRun);
  if (line.stats && line.command == Command::kPrintRestart) {
    throw UsageError("--print-restart has no statistics");
  }
  return line;
}

}  // namespace microvm
