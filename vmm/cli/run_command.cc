// SPDX-License-Identifier: Apache-2.0
#include "vmm/cli/run_command.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <optional>
#include <system_error>

#include "arch/arm64/boot_image.h"
#include "arch/arm64/gic.h"
#include "arch/arm64/guest_source.h"
#include "arch/arm64/guest_tree.h"
#include "arch/arm64/layout.h"
#include "devices/gpio/host_gpio.h"
#include "devices/virtio/disk_image.h"
#include "devices/virtio/tap.h"
#include "devices/virtio/vhost_net.h"
#include "devices/virtio/vsock_device.h"
#include "vmm/fdt/overlay.h"
#include "vmm/host/error.h"
#include "vmm/host/file.h"
#include "vmm/host/memory_info.h"
#include "vmm/host/program_pages.h"
#include "vmm/machine/console_streams.h"
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

// An output that is an input of the same machine would destroy it.
void CheckIsNoInput(const char* option, const std::string& output,
                    const std::vector<std::filesystem::path>& inputs) {
  for (const std::filesystem::path& input : inputs) {
    std::error_code error;
    if (!std::filesystem::equivalent(output, input, error)) continue;
    throw UsageError(std::string(option) + " " + output + " would overwrite " + input.string());
  }
}

std::vector<std::filesystem::path> OwnFiles(const VmConfig& config) {
  std::vector<std::filesystem::path> files = config.boot.overlays;
  files.push_back(config.boot.kernel);
  if (config.boot.initrd) files.push_back(*config.boot.initrd);
  for (const DiskConfig& disk : config.disks) files.push_back(disk.path);
  for (const ConsoleConfig& console : config.consoles) {
    if (console.path) files.push_back(*console.path);
  }
  // May hold the RAM of a killed machine, whose devices still write to it.
  if (config.memory.identity_file) files.emplace_back(*config.memory.identity_file);
  return files;
}

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

std::string MiB(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// Memory that is there from the start, and that the host cannot have.
void CheckMemory(const VmConfig& config, const HostSysfs& sysfs) {
  const std::uint64_t size_bytes = config.memory.size_bytes;
  const bool dma = std::any_of(config.platform.begin(), config.platform.end(),
                               [](const auto& device) { return device.dma == DmaMode::kIommu; });
  if (config.memory.hugepage_bytes != 0) {
    const auto total = MemoryInfo(sysfs.root(), "MemTotal");
    if (!total || size_bytes <= *total) return;
    throw Error("memory.size: " + MiB(size_bytes) + " of huge pages, but the host has " +
                    MiB(*total) + " of memory in all",
                "make memory.size smaller");
  }
  if (!dma && !config.memory.lock) return;
  // The kernel would look for it among other processes' first, and end one of them.
  const auto available = MemoryInfo(sysfs.root(), "MemAvailable");
  if (!available || size_bytes <= *available) return;
  throw Error("memory.size: all " + MiB(size_bytes) + " are kept in memory for " +
                  (dma ? "the devices' DMA" : "memory.lock") + ", but the host has " +
                  MiB(*available) + " available",
              "make memory.size smaller");
}

// Other memory comes as the guest uses it: one that never uses all of it may have more than there
// is.
void TellOfScarceMemory(const VmConfig& config, const HostSysfs& sysfs) {
  const auto memory = MemoryInfo(sysfs.root(), "MemTotal");
  if (!memory) return;
  const std::uint64_t total = *memory + MemoryInfo(sysfs.root(), "SwapTotal").value_or(0);
  if (config.memory.size_bytes <= total) return;
  std::fprintf(stderr,
               "microvm: memory.size: the guest has %s, the host %s, swap space included: the "
               "kernel ends processes when the guest has used what there is\n",
               MiB(config.memory.size_bytes).c_str(), MiB(total).c_str());
}

std::vector<OverlayFile> ReadOverlays(const BootConfig& config) {
  std::vector<OverlayFile> overlays;
  for (const std::filesystem::path& path : config.overlays) {
    WithContext(Error("overlay " + path.string(), kOverlayRemedy), [&] {
      std::error_code error;
      if (std::filesystem::exists(path) && !std::filesystem::is_regular_file(path, error)) {
        throw Error("it is no regular file");
      }
      overlays.push_back({path.string(), ReadFile(path.string())});
    });
  }
  return overlays;
}

Prepared Prepare(const VmConfig& config, HostKernel& kernel, const HostSysfs& sysfs,
                 PhaseClock& clock) {
  CheckPassedDescriptors(kernel, config);
  CheckMemory(config, sysfs);
  TellOfScarceMemory(config, sysfs);
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

// Whether each can be opened, and is nobody else's, nor another of the machine's own.
void CheckDisks(HostKernel& kernel, const VmConfig& config) {
  std::deque<DiskImage> images;
  for (const DiskConfig& disk : config.disks) {
    images.emplace_back(
        kernel,
        DiskOptions{.path = disk.path.string(), .readonly = disk.readonly, .direct = disk.direct});
  }
}

void CheckVsock(HostKernel& kernel, const VmConfig& config) {
  if (!config.vsock) return;
  static_cast<void>(OpenVsock(kernel, {.cid = config.vsock->cid, .fd = config.vsock->vhost_fd}));
}

// The same of taps.
void CheckTaps(HostKernel& kernel, const VmConfig& config) {
  std::deque<Tap> taps;
  for (const NetConfig& net : config.nets) {
    taps.emplace_back(
        kernel, TapOptions{.name = net.tap, .descriptors = net.tap_fds, .queues = net.queues});
    if (net.vhost) static_cast<void>(OpenVhostNet(kernel));
  }
}

void Show(const CommandLine& line, HostKernel& kernel, const HostSysfs& sysfs,
          const Prepared& prepared) {
  // A run finds out by itself, without the time that a virtual machine to ask takes.
  CheckGic(prepared.kvm, prepared.plan);
  CheckDisks(kernel, prepared.plan.config);
  CheckVsock(kernel, prepared.plan.config);
  for (const ConsoleConfig& console : prepared.plan.config.consoles) CheckConsole(kernel, console);
  CheckTaps(kernel, prepared.plan.config);
  FindGpioLines(kernel, sysfs.root(), prepared.plan.config.gpios);
  const std::vector<std::byte> tree = BuildGuestTree(prepared.plan, {});
  if (line.command == Command::kPrintPlan) {
    std::fputs(FormatPlan(prepared.plan).c_str(), stdout);
  } else if (line.command == Command::kDumpDtb) {
    WithContext(
        Error("cannot write the device tree", "give --dump-dtb a path that can be written"), [&] {
          WriteFile(line.dtb,
                    line.dtb.ends_with(".dts")
                        ? GuestTreeSource(prepared.plan)
                        : std::string(reinterpret_cast<const char*>(tree.data()), tree.size()));
        });
  } else {
    std::printf("%s: ok\n", prepared.plan.config.name.c_str());
  }
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

// The choice is the user's; what it means must be before their eyes each time.
void TellOfIdentity(const VmPlan& plan) {
  std::string names;
  for (const PlannedDevice& device : plan.devices) {
    if (device.dma != DmaMode::kIdentity) continue;
    names += (names.empty() ? "'" : ", '") + device.host + "'";
  }
  if (names.empty()) return;
  std::fprintf(stderr,
               "microvm: DANGER: dma = \"identity\": the guest can have %s read and write all of "
               "the host's memory, by a mistake or on purpose\n",
               names.c_str());
}

// Files that are written must be none that are read.
void CheckOutputs(const CommandLine& line, const VmConfig& config) {
  if (line.command == Command::kDumpDtb) {
    CheckIsNoInput("--dump-dtb", line.dtb, {line.config});
    CheckIsNoInput("--dump-dtb", line.dtb, OwnFiles(config));
  }
  if (!line.stats) return;
  CheckIsNoInput("--stats", *line.stats, OwnFiles(config));
  if (line.command == Command::kDumpDtb && line.dtb == *line.stats) {
    throw UsageError("--stats and --dump-dtb would write the same file");
  }
  // What a run cannot write at its end it must not start with.
  WriteStatisticsFile(*line.stats, "");
}

// `statistics` is filled as far as it goes, also when this throws.
StopReason RunGuest(const VmConfig& config, HostKernel& kernel, const HostSysfs& sysfs,
                    PhaseClock& clock, Statistics& statistics) {
  StopSignals stop_signals;
  Prepared prepared = Prepare(config, kernel, sysfs, clock);
  TellOfMissingIommu(prepared.plan);
  TellOfIdentity(prepared.plan);
  Machine machine(kernel, sysfs, prepared.kvm, prepared.plan, prepared.images,
                  std::move(prepared.opened), stop_signals);
  // What planning needed, the host's device tree above all, goes back to the host.
  malloc_trim(0);
  // Pages come back by page faults, which memory.lock is there to avoid.
  if (!config.memory.lock) ReleaseProgramPages();
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

int FailureStatus(const std::exception& error) {
  const bool is_users = dynamic_cast<const UsageError*>(&error) != nullptr ||
                        dynamic_cast<const ConfigError*>(&error) != nullptr ||
                        dynamic_cast<const UnreadableConfig*>(&error) != nullptr;
  return is_users ? 2 : 1;
}

VmConfig ReadVmConfig(const std::string& path) {
  std::string text;
  try {
    text = ReadTextFile(path);
  } catch (const std::exception&) {
    std::throw_with_nested(UnreadableConfig("the configuration cannot be read",
                                            "give --config the path of a machine's configuration"));
  }
  return ParseVmConfig(text, path);
}

int RunVmCommand(const CommandLine& line, HostKernel& kernel, const HostSysfs& sysfs) {
  if (line.command == Command::kPrintRestart) {
    std::puts(std::string(ToString(ReadVmConfig(line.config).restart)).c_str());
    return 0;
  }
  PhaseClock clock;
  Statistics statistics;
  const auto write_failure = [&](const std::exception& error) {
    if (statistics.startup.empty()) statistics.startup = clock.phases();
    WriteStatistics(line, statistics, FailureStatus(error), "setup-failed");
  };
  if (line.stats) CheckIsNoInput("--stats", *line.stats, {line.config});
  VmConfig config;
  try {
    config = ReadVmConfig(line.config);
  } catch (const std::exception& error) {
    write_failure(error);
    throw;
  }
  clock.End("config");
  statistics.name = config.name;
  CheckOutputs(line, config);
  try {
    if (line.command != Command::kRun) {
      Show(line, kernel, sysfs, Prepare(config, kernel, sysfs, clock));
      statistics.startup = clock.phases();
      WriteStatistics(line, statistics, 0, "not-run");
      return 0;
    }
    const StopReason reason = RunGuest(config, kernel, sysfs, clock, statistics);
    const int status = ExitStatus(reason);
    if (status != 0) std::fprintf(stderr, "microvm: the guest failed: %s\n", ToString(reason));
    WriteStatistics(line, statistics, status, ToString(reason));
    return status;
  } catch (const std::exception& error) {
    write_failure(error);
    throw;
  }
}

}  // namespace microvm
