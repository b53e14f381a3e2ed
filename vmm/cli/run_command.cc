// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/run_command.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

#include "arch/arm64/boot_image.h"
#include "arch/arm64/gic.h"
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

void WriteStatisticsFile(const std::string& path, const std::string& content) {
  WithContext(Error("cannot write the statistics", "give --stats a path that can be written"),
              [&] { WriteFile(path, content); });
}

// The guest's end, or its failure to start, is told by the exit status; a file that cannot be
// written does not change that.
void WriteStatistics(const CommandLine& line, Statistics statistics, int status,
                     const char* reason) {
  if (!line.stats) return;
  statistics.exit_status = status;
  statistics.exit_reason = reason;
  try {
    WriteStatisticsFile(*line.stats, FormatJson(statistics));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "microvm: %s", FormatChain(error).c_str());
  }
}

// Everything that is decided before a machine is made.
struct Prepared {
  Kvm kvm;
  BootImages images;
  OpenedDevices opened;
  VmPlan plan;
};

// The kernel would look for memory among other processes' first, and end one of them.
void CheckPinnedMemory(const VmConfig& config, const HostSysfs& sysfs) {
  const bool dma = std::any_of(config.platform.begin(), config.platform.end(),
                               [](const auto& device) { return device.dma == DmaMode::kIommu; });
  if ((!dma && !config.memory.lock) || config.memory.hugepage_bytes != 0) return;
  const auto available = sysfs.AvailableMemory();
  if (!available || config.memory.size_bytes <= *available) return;
  throw Error("memory.size: all " + std::to_string(config.memory.size_bytes >> 20) +
                  " MiB are kept in memory for " + (dma ? "the devices' DMA" : "memory.lock") +
                  ", but the host has " + std::to_string(*available >> 20) + " MiB available",
              "make memory.size smaller");
}

std::vector<OverlayFile> ReadOverlays(const BootConfig& config) {
  std::vector<OverlayFile> overlays;
  for (const std::filesystem::path& path : config.overlays) {
    overlays.push_back({path.string(), ReadFile(path.string())});
  }
  return overlays;
}

Prepared Prepare(const CommandLine& line, HostKernel& kernel, const HostSysfs& sysfs,
                 PhaseClock& clock) {
  const VmConfig config = ReadVmConfig(line.config);
  CheckPassedDescriptors(kernel, config);
  clock.End("config");
  CheckPinnedMemory(config, sysfs);
  Kvm kvm(kernel);
  BootImages images(kernel, config.boot);
  BootFacts boot = images.facts();
  boot.overlays = ReadOverlays(config.boot);
  clock.End("files");
  OpenedDevices opened = OpenDevices(kernel, sysfs, config);
  clock.End("devices");
  VmPlan plan = MakePlan(config, opened.facts, boot, kvm.limits(), Arm64Layout());
  clock.End("plan");
  return {std::move(kvm), std::move(images), std::move(opened), std::move(plan)};
}

int Show(const CommandLine& line, const Prepared& prepared) {
  // A run finds out by itself, without the time that a virtual machine to ask takes.
  CheckGic(prepared.kvm, prepared.plan);
  if (line.command == Command::kPrintPlan) {
    std::fputs(FormatPlan(prepared.plan).c_str(), stdout);
  } else if (line.command == Command::kDumpDtb) {
    const std::vector<std::byte> tree = BuildGuestTree(prepared.plan, {});
    WithContext(Error("cannot write the device tree", "give --dump-dtb a path that can be written"),
                [&] {
                  WriteFile(line.dtb, {reinterpret_cast<const char*>(tree.data()), tree.size()});
                });
  } else {
    std::printf("%s: ok\n", prepared.plan.config.name.c_str());
  }
  return 0;
}

// VFIO's no-IOMMU mode is not silent about itself in the kernel's log, and must not be here.
void TellOfMissingIommu(const VmPlan& plan) {
  std::string names;
  for (const PlannedDevice& device : plan.devices) {
    if (device.no_iommu) names += (names.empty() ? "'" : ", '") + device.host + "'";
  }
  if (names.empty()) return;
  std::fprintf(stderr,
               "microvm: no IOMMU before %s: VFIO's no-IOMMU mode has tainted the host's kernel, "
               "and nothing would keep a bus master from the host's memory\n",
               names.c_str());
}

// `statistics` is filled as far as it goes, also when this throws.
StopReason RunGuest(const CommandLine& line, HostKernel& kernel, const HostSysfs& sysfs,
                    StopSignals& stop_signals, Statistics& statistics) {
  PhaseClock clock;
  Prepared prepared = Prepare(line, kernel, sysfs, clock);
  statistics.name = prepared.plan.config.name;
  TellOfMissingIommu(prepared.plan);
  Machine machine(kernel, sysfs, prepared.kvm, prepared.plan, prepared.images,
                  std::move(prepared.opened), stop_signals);
  clock.End("machine");
  const auto collect = [&] {
    statistics = machine.statistics();
    statistics.startup.insert(statistics.startup.begin(), clock.phases().begin(),
                              clock.phases().end());
  };
  try {
    const StopReason reason = machine.Run();
    collect();
    return reason;
  } catch (...) {
    collect();
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
  if (line.command == Command::kPrintRestart) {
    std::puts(std::string(ToString(ReadVmConfig(line.config).restart)).c_str());
    return 0;
  }
  if (line.command != Command::kRun) {
    PhaseClock clock;
    return Show(line, Prepare(line, kernel, sysfs, clock));
  }
  StopSignals stop_signals;
  // What a run cannot write at its end it must not start with.
  if (line.stats) WriteStatisticsFile(*line.stats, "");
  Statistics statistics;
  try {
    const StopReason reason = RunGuest(line, kernel, sysfs, stop_signals, statistics);
    const int status = ExitStatus(reason);
    if (status != 0) std::fprintf(stderr, "microvm: the guest failed: %s\n", ToString(reason));
    WriteStatistics(line, statistics, status, ToString(reason));
    return status;
  } catch (const std::exception& error) {
    const bool wrong = dynamic_cast<const ConfigError*>(&error) != nullptr;
    WriteStatistics(line, statistics, wrong ? 2 : 1, "setup-failed");
    throw;
  }
}

}  // namespace microvm
