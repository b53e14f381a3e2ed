// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/run_command.h"

#include <chrono>
#include <cstdio>

#include "arch/arm64/boot_image.h"
#include "arch/arm64/gic_v3.h"
#include "arch/arm64/guest_tree.h"
#include "arch/arm64/layout.h"
#include "vmm/host/error.h"
#include "vmm/host/file.h"
#include "vmm/machine/machine.h"
#include "vmm/passthrough/passthrough.h"

namespace microvm {
namespace {

// Names the phases of the start and how long each took.
class PhaseClock {
 public:
  void End(const char* name) {
    const auto now = std::chrono::steady_clock::now();
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now - last_).count();
    phases_.push_back({name, static_cast<std::uint64_t>(ns)});
    last_ = now;
  }
  [[nodiscard]] const std::vector<Phase>& phases() const { return phases_; }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::vector<Phase> phases_;
};

int ExitStatus(StopReason reason) {
  return reason == StopReason::kCrash || reason == StopReason::kVcpuError ? 3 : 0;
}

void WriteStatistics(const Machine& machine, const CommandLine& line, const PhaseClock& clock,
                     int status, const char* reason) {
  if (!line.stats) return;
  Statistics statistics = machine.statistics();
  statistics.exit_status = status;
  statistics.exit_reason = reason;
  statistics.startup.insert(statistics.startup.begin(), clock.phases().begin(),
                            clock.phases().end());
  WriteFile(*line.stats, FormatJson(statistics));
}

int RunMachine(Machine& machine, const CommandLine& line, const PhaseClock& clock) {
  try {
    const StopReason reason = machine.Run();
    const int status = ExitStatus(reason);
    if (status != 0) std::fprintf(stderr, "microvm: the guest failed: %s\n", ToString(reason));
    WriteStatistics(machine, line, clock, status, ToString(reason));
    return status;
  } catch (const std::exception&) {
    // The first boot, or one after a reset, could not be set up.
    WriteStatistics(machine, line, clock, 1, "setup-failed");
    throw;
  }
}

}  // namespace

VmConfig ReadVmConfig(const std::string& path) {
  std::string text;
  try {
    text = ReadTextFile(path);
  } catch (const std::exception& error) {
    throw ConfigError(error.what());
  }
  return ParseVmConfig(text, path);
}

int RunVmCommand(const CommandLine& line, HostKernel& kernel, const HostSysfs& sysfs) {
  PhaseClock clock;
  const VmConfig config = ReadVmConfig(line.config);
  clock.End("config");
  const Kvm kvm(kernel);
  const BootImages images(kernel, config.boot);
  clock.End("files");
  OpenedDevices opened = OpenDevices(kernel, sysfs, config.platform);
  clock.End("devices");
  const VmPlan plan = MakePlan(config, opened.facts, images.facts(), kvm.limits(), Arm64Layout());
  clock.End("plan");
  // A run finds out by itself, without the time that a virtual machine to ask takes.
  if (line.command != Command::kRun) GicV3::Check(kvm, plan.ipa_bits);
  switch (line.command) {
    case Command::kPrintPlan:
      std::fputs(FormatPlan(plan).c_str(), stdout);
      return 0;
    case Command::kDumpDtb: {
      const std::vector<std::byte> tree = BuildGuestTree(plan, {});
      WriteFile(line.dtb, {reinterpret_cast<const char*>(tree.data()), tree.size()});
      return 0;
    }
    case Command::kCheck:
      std::printf("%s: ok\n", config.name.c_str());
      return 0;
    default:
      break;
  }
  // What a run cannot write at its end it must not start with.
  if (line.stats) WriteFile(*line.stats, "");
  Machine machine(kernel, sysfs, kvm, plan, images, std::move(opened));
  clock.End("machine");
  return RunMachine(machine, line, clock);
}

}  // namespace microvm
