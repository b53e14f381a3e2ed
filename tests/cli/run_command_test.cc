// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/run_command.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/fakes/board.h"
#include "tests/fakes/dtc.h"
#include "tests/fakes/exceptions.h"
#include "vmm/host/file.h"

namespace microvm {
namespace {

using fakes::Board;
using fakes::Contains;

// A board with the configuration of a guest on disk.
class Program {
 public:
  Program() {
    folder_.Write("Image", fakes::SmallImage());
    Configure("");
  }
  void Configure(const std::string& more, const std::string& top = "") {
    line.config = folder_
                      .Write("ecu.toml", top +
                                             "[memory]\nsize = \"8M\"\n[boot]\nkernel = \"Image\"\n"
                                             "[console]\nenabled = false\n" +
                                             more)
                      .string();
  }
  // The exit status; what it prints is in `output`.
  int Run(Command command) {
    line.command = command;
    const fakes::CapturedStream out(STDOUT_FILENO);
    const fakes::CapturedStream errors(STDERR_FILENO);
    const int status = RunVmCommand(line, board.kernel, board.sysfs);
    output = out.text();
    error_output = errors.text();
    return status;
  }
  std::string InFolder(const std::string& name) const { return (folder_.path() / name).string(); }

  Board board;
  CommandLine line;
  std::string output;
  std::string error_output;

 private:
  fakes::TemporaryFolder folder_;
};

constexpr const char* kCanTable = "[[platform]]\nhost = \"ff070000.canfd\"\n";

TEST_CASE("--check opens and plans everything, and makes no machine but one to ask") {
  Program program;
  program.board.AddCan();
  program.Configure(kCanTable);
  CHECK(program.Run(Command::kCheck) == 0);
  CHECK(program.output == "ecu: ok\n");
  const std::string log = fakes::Lines(program.board.kernel.log());
  CHECK_FALSE(Contains(log, "KVM_CREATE_VCPU"));
  CHECK_FALSE(Contains(log, "KVM_SET_USER_MEMORY_REGION"));
  CHECK(program.board.kernel.Live().empty());
}

TEST_CASE("a host without a vGICv3 is found without a run") {
  for (const Command command : {Command::kCheck, Command::kPrintPlan, Command::kDumpDtb}) {
    Program program;
    program.line.dtb = program.InFolder("out.dtb");
    program.board.kernel.host.has_vgic_v3 = false;
    CHECK(Contains(fakes::ChainOf([&] { return program.Run(command); }),
                   "this host's KVM has no vGICv3\n"
                   "  KVM_DEV_TYPE_ARM_VGIC_V3\n"
                   "    KVM_CREATE_DEVICE: No such device\n"));
    CHECK_FALSE(std::filesystem::exists(program.line.dtb));
    CHECK(program.board.kernel.Live().empty());
  }
}

TEST_CASE("a run makes one virtual machine only") {
  Program program;
  program.board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(program.Run(Command::kRun) == 0);
  const auto log = program.board.kernel.log();
  CHECK(std::count_if(log.begin(), log.end(), [](const std::string& call) {
          return call.starts_with("KVM_CREATE_VM");
        }) == 1);
}

TEST_CASE("--print-plan prints the plan") {
  Program program;
  CHECK(program.Run(Command::kPrintPlan) == 0);
  CHECK(Contains(program.output, "# RAM 0x40000000-0x407fffff\n"));
}

TEST_CASE("--print-restart reads the configuration and opens nothing else") {
  Program program;
  program.Configure("[[platform]]\nhost = \"absent\"\n", "restart = 'on-failure' # at most\n");
  CHECK(program.Run(Command::kPrintRestart) == 0);
  CHECK(program.output == "on-failure\n");
  CHECK(program.board.kernel.log().empty());
}

TEST_CASE("--dump-dtb writes the guest's tree") {
  Program program;
  program.line.dtb = program.InFolder("out.dtb");
  CHECK(program.Run(Command::kDumpDtb) == 0);
  const fakes::Decompiled tree = fakes::RunDtc(ReadFile(program.line.dtb));
  CHECK(tree.warnings == "");
  CHECK(Contains(tree.source, "memory@40000000"));
  CHECK_FALSE(Contains(tree.source, "rng-seed"));
}

TEST_CASE("a guest that powers off is status 0, with statistics where they are asked for") {
  Program program;
  program.line.stats = program.InFolder("stats.json");
  program.board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(program.Run(Command::kRun) == 0);
  const std::string json = ReadTextFile(*program.line.stats);
  CHECK(Contains(json, "\"exit\":{\"status\":0,\"reason\":\"power-off\"}"));
  for (const char* phase : {"config_ns", "files_ns", "devices_ns", "plan_ns", "machine_ns"}) {
    CAPTURE(phase);
    CHECK(Contains(json, "\"" + std::string(phase) + "\":"));
  }
}

TEST_CASE("the phases of a check are in the statistics as well") {
  Program program;
  program.line.stats = program.InFolder("stats.json");
  CHECK(program.Run(Command::kCheck) == 0);
  const std::string json = ReadTextFile(*program.line.stats);
  CHECK(Contains(json, "\"exit\":{\"status\":0,\"reason\":\"not-run\"}"));
  CHECK(Contains(json, "\"plan_ns\":"));
  CHECK_FALSE(Contains(json, "\"machine_ns\":"));
}

TEST_CASE("a guest that crashes is status 3, and so is a vCPU that fails") {
  Program crash;
  crash.line.stats = crash.InFolder("stats.json");
  crash.board.kernel.Script(0, {fakes::Crash()});
  CHECK(crash.Run(Command::kRun) == 3);
  CHECK(crash.error_output == "microvm: the guest failed: crash\n");
  CHECK(Contains(ReadTextFile(*crash.line.stats), "\"status\":3,\"reason\":\"crash\""));
  Program broken;
  broken.board.kernel.Script(0, {fakes::InternalError()});
  CHECK(broken.Run(Command::kRun) == 3);
}

TEST_CASE("a boot that cannot be set up is in the statistics too") {
  Program program;
  program.line.stats = program.InFolder("stats.json");
  program.board.kernel.host.has_vgic_v3 = false;
  CHECK(Contains(fakes::ChainOf([&] { return program.Run(Command::kRun); }), "no vGICv3"));
  CHECK(Contains(ReadTextFile(*program.line.stats),
                 "\"exit\":{\"status\":1,\"reason\":\"setup-failed\"}"));
}

TEST_CASE("memory that must stay in place and that the host has not is refused") {
  Program program;
  program.board.host.Write("proc/meminfo", "MemTotal: 99999 kB\nMemAvailable:    4096 kB\n");
  CHECK(program.Run(Command::kCheck) == 0);  // neither DMA nor lock: pages come as they are used
  program.board.AddCan();
  program.Configure(kCanTable);
  CHECK(Contains(fakes::ChainOf([&] { return program.Run(Command::kCheck); }),
                 "memory.size: all 8 MiB are kept in memory for the devices' DMA, but the host has "
                 "4 MiB available"));
}

TEST_CASE("huge pages for more than the host's memory can never be had") {
  Program program;
  WriteFile(program.line.config,
            "[memory]\nsize = \"8M\"\nhugepages = \"2M\"\n[boot]\nkernel = \"Image\"\n");
  program.board.host.Write("proc/meminfo", "MemTotal: 8192 kB\n");
  CHECK(program.Run(Command::kCheck) == 0);
  CHECK(program.error_output.empty());
  program.board.host.Write("proc/meminfo", "MemTotal: 8191 kB\nSwapTotal: 99999 kB\n");
  CHECK(fakes::ChainOf([&] { return program.Run(Command::kCheck); }) ==
        "memory.size: 8 MiB of huge pages, but the host has 7 MiB of memory in all\n"
        "to fix it:\n  make memory.size smaller\n");
}

TEST_CASE("memory that comes as it is used may be more than the host has, which is told") {
  Program program;
  program.board.host.Write("proc/meminfo", "MemTotal: 4096 kB\nSwapTotal: 4096 kB\n");
  CHECK(program.Run(Command::kCheck) == 0);
  CHECK(program.error_output.empty());
  program.board.host.Write("proc/meminfo", "MemTotal: 4096 kB\nSwapTotal: 2048 kB\n");
  for (const Command command : {Command::kCheck, Command::kRun}) {
    program.board.kernel.Script(0, {fakes::PowerOff()});
    CHECK(program.Run(command) == 0);
    CHECK(program.error_output ==
          "microvm: memory.size: the guest has 8 MiB, the host 6 MiB, swap space included: the "
          "kernel ends processes when the guest has used what there is\n");
  }
}

TEST_CASE("a set-up that fails is in the statistics, whatever it was") {
  Program program;
  program.line.stats = program.InFolder("stats.json");
  program.board.kernel.FailMatching("open /dev/kvm", ENOENT);
  CHECK_THROWS(program.Run(Command::kRun));
  CHECK(Contains(ReadTextFile(*program.line.stats), "\"setup-failed\""));
  CHECK(Contains(ReadTextFile(*program.line.stats), "\"status\":1"));
  program.Configure("[nonsense]\n");
  CHECK_THROWS_AS(program.Run(Command::kRun), ConfigError);
  CHECK(Contains(ReadTextFile(*program.line.stats), "\"status\":2"));
}

TEST_CASE("statistics that cannot be written at the end leave the exit status as it is") {
  Program program;
  program.line.stats = "/dev/full";
  program.board.kernel.Script(0, {fakes::PowerOff()});
  CHECK(program.Run(Command::kRun) == 0);
  CHECK(Contains(program.error_output, "cannot write the statistics"));
  program.board.kernel.Script(0, {fakes::Crash()});
  CHECK(program.Run(Command::kRun) == 3);
}

TEST_CASE("statistics that cannot be written are known before the guest runs") {
  Program program;
  program.line.stats = "/nonexistent/stats.json";
  CHECK(Contains(fakes::ChainOf([&] { return program.Run(Command::kRun); }),
                 "open /nonexistent/stats.json: No such file or directory"));
  CHECK_FALSE(Contains(fakes::Lines(program.board.kernel.log()), "KVM_CREATE_VM"));
}

TEST_CASE("a configuration that cannot be read is not called wrong") {
  Program program;
  program.line.stats = program.InFolder("stats.json");
  program.line.config = "/nonexistent/ecu.toml";
  CHECK_THROWS_AS(program.Run(Command::kCheck), UnreadableConfig);
  CHECK(fakes::ChainOf([&] { return program.Run(Command::kCheck); }) ==
        "the configuration cannot be read\n"
        "  open /nonexistent/ecu.toml: No such file or directory\n"
        "to fix it:\n  give --config the path of a machine's configuration\n");
  CHECK(Contains(ReadTextFile(*program.line.stats), "\"status\":2"));
  CHECK(program.board.kernel.log().empty());
}

TEST_CASE("a wrong configuration is found before anything is opened") {
  Program program;
  program.Configure("speed = 5\n");
  CHECK_THROWS_AS(program.Run(Command::kCheck), ConfigError);
  CHECK(program.board.kernel.log().empty());
}

TEST_CASE("--check finds the same disk under two names") {
  Program program;
  const std::string disk = program.InFolder("disk");
  WriteFile(disk, std::string(4096, 'D'));
  std::filesystem::create_symlink(disk, program.InFolder("other"));
  program.Configure("[[disk]]\npath = \"disk\"\n");
  CHECK(program.Run(Command::kCheck) == 0);
  program.Configure("[[disk]]\npath = \"disk\"\n[[disk]]\npath = \"other\"\n");
  CHECK(Contains(fakes::ChainOf([&] { program.Run(Command::kCheck); }),
                 "disk " + program.InFolder("other") +
                     "\n  another process, or another of the machine's disks, has it\n"));
}

TEST_CASE("--check finds that a CID is another machine's, and keeps none") {
  Program program;
  program.Configure("[vsock]\ncid = 3\n");
  CHECK(program.Run(Command::kCheck) == 0);
  CHECK(program.board.kernel.Live().empty());
  program.board.kernel.FailMatching("VHOST_VSOCK_SET_GUEST_CID", EADDRINUSE);
  CHECK(Contains(fakes::ChainOf([&] { program.Run(Command::kCheck); }),
                 "vsock\n  another machine has the CID 3"));
  program.Configure("[vsock]\ncid = 3\nvhost_fd = 1000\n");
  CHECK(Contains(fakes::ChainOf([&] { program.Run(Command::kCheck); }),
                 "descriptor 1000 is not open"));
}

TEST_CASE("--check finds a console that cannot be opened, and makes no file of one that can") {
  Program program;
  const auto check = [&](const std::string& path) {
    WriteFile(program.line.config,
              "[memory]\nsize = \"8M\"\n[boot]\nkernel = \"Image\"\n"
              "[[console]]\npath = \"" +
                  path + "\"\n");
    return program.Run(Command::kCheck);
  };
  CHECK(check("log") == 0);
  CHECK_FALSE(std::filesystem::exists(program.InFolder("log")));
  CHECK(Contains(fakes::ChainOf([&] { check("none/log"); }),
                 "console " + program.InFolder("none/log") + "\n  it cannot be opened\n"));
}

TEST_CASE("--check finds that the host has no vhost-net") {
  Program program;
  program.Configure("[[net]]\ntap = \"tap0\"\nvhost = true\n");
  CHECK(program.Run(Command::kCheck) == 0);
  program.board.kernel.host.vhost_error = ENOENT;
  CHECK(Contains(fakes::ChainOf([&] { program.Run(Command::kCheck); }), "no vhost-net"));
}

TEST_CASE("--stats does not overwrite a disk") {
  Program program;
  const std::string disk = program.InFolder("disk");
  WriteFile(disk, std::string(4096, 'D'));
  program.Configure("[[disk]]\npath = \"disk\"\n");
  program.line.stats = disk;
  CHECK(Contains(fakes::ChainOf([&] { program.Run(Command::kRun); }), "would overwrite"));
  CHECK(ReadTextFile(disk) == std::string(4096, 'D'));
}

}  // namespace
}  // namespace microvm
