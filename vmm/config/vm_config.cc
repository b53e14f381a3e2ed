// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/vm_config.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <span>

#include "vmm/config/toml_reader.h"

namespace microvm {
namespace {

constexpr std::array<std::string_view, 3> kSchedulingPolicies = {"other", "fifo", "rr"};
constexpr std::array<std::string_view, 3> kRestarts = {"never", "on-failure", "always"};
constexpr std::array<std::string_view, 2> kInterruptPaths = {"irqfd", "userspace"};
constexpr std::array<std::string_view, 3> kDmaModes = {"none", "iommu", "identity"};
constexpr std::array<std::string_view, 3> kBackends = {"auto", "iommufd", "group"};

// One cell of a fixed-clock node (bindings/clock/fixed-clock.yaml).
constexpr std::int64_t kMaximumClockHz = UINT32_MAX;
constexpr std::uint64_t kMegabyte = 1U << 20;
// KVM's own limit for a vGICv3 (VGIC_V3_MAX_CPUS); the host's is checked when planning.
constexpr int kMaximumVcpus = 512;
constexpr int kMaximumHostCpu = 1023;
// A CPU that only waits is no use to anybody else.
constexpr std::int64_t kMaximumHaltPollNs = 1'000'000'000;
// Passed descriptors: what comes before is standard input, output and error.
constexpr int kMinimumFd = 3;
constexpr int kMaximumFd = 1023;
// arch/arm64/include/uapi/asm/setup.h: COMMAND_LINE_SIZE 2048, with its NUL.
constexpr std::size_t kMaximumCmdline = 2047;

// KVM's own limit: INTIDs 32 to 991 (arch/arm64/layout.h).
constexpr std::int64_t kMaximumSpi = 959;
// What the plan decides of a device's node; most have a key of their own.
constexpr std::array<std::string_view, 7> kOwnProperties = {
    "reg", "interrupts", "interrupts-extended", "interrupt-parent", "phandle", "clocks", "name"};

bool IsName(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

// A device name is one component of a path below /sys: no way up or down from there.
bool IsDeviceName(std::string_view text) {
  return !text.empty() && text != "." && text != ".." &&
         std::none_of(text.begin(), text.end(), [](char c) {
           return c == '/' || static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '\\';
         });
}

// Whether a property's value is this one string.
bool IsText(std::span<const std::byte> value, std::string_view text) {
  return value.size() == text.size() + 1 &&
         std::memcmp(value.data(), text.data(), text.size()) == 0;
}

// The path of a file, relative to the configuration's folder.
std::optional<std::filesystem::path> ReadPath(TomlReader& reader, std::string_view key,
                                              const std::filesystem::path& folder) {
  const auto text = reader.String(key);
  if (!text) return std::nullopt;
  if (text->empty()) reader.Report(key, "is empty; it must be the path of a file");
  return folder / *text;
}

CpuConfig ReadCpu(TomlReader reader, bool realtime) {
  CpuConfig cpu;
  if (const auto count = reader.Integer("count", 1, kMaximumVcpus)) {
    cpu.count = static_cast<unsigned>(*count);
  }
  for (const std::int64_t number : reader.Integers("affinity", 0, kMaximumHostCpu)) {
    cpu.affinity.push_back(static_cast<unsigned>(number));
  }
  if (!cpu.affinity.empty() && cpu.affinity.size() != cpu.count) {
    reader.Report("affinity",
                  "must list one host CPU for each of the " + std::to_string(cpu.count) + " vCPUs");
  }
  cpu.policy = WordOr(reader, "policy", kSchedulingPolicies, SchedulingPolicy::kOther);
  if (const auto priority = reader.Integer("priority", 1, 99)) {
    cpu.priority = static_cast<int>(*priority);
  }
  const bool real_time = cpu.policy != SchedulingPolicy::kOther;
  if (real_time && !reader.Has("priority")) {
    reader.Report("policy", "needs a 'priority' from 1 to 99 beside it");
  }
  if (!real_time && cpu.priority != 0) {
    reader.Report("priority", R"(needs policy = "fifo" or "rr" beside it)");
  }
  if (realtime && cpu.affinity.empty()) {
    reader.Report("affinity", "must list the vCPUs' host CPUs, which [realtime] keeps for them");
  }
  if (realtime && !real_time) {
    reader.Report("policy", R"(must be "fifo" or "rr" beside [realtime])");
  }
  for (const std::string& feature : reader.Strings("features")) {
    if (feature == "pmu") {
      cpu.pmu = true;
    } else if (feature == "sve") {
      cpu.sve = true;
    } else if (feature == "pauth") {
      cpu.pauth = true;
    } else {
      reader.Report("features", "\"" + feature + R"(": must be "pmu", "sve" or "pauth")");
    }
  }
  reader.Finish();
  return cpu;
}

RealtimeConfig ReadRealtime(TomlReader reader, bool enabled, const CpuConfig& cpu) {
  RealtimeConfig realtime;
  realtime.enabled = enabled;
  for (const std::int64_t number : reader.Integers("housekeeping", 0, kMaximumHostCpu)) {
    realtime.housekeeping.push_back(static_cast<unsigned>(number));
    if (std::find(cpu.affinity.begin(), cpu.affinity.end(), number) != cpu.affinity.end()) {
      reader.Report("housekeeping", "CPU " + std::to_string(number) + " is a vCPU's");
    }
  }
  if (const auto ns = reader.Integer("halt_poll_ns", 0, kMaximumHaltPollNs)) {
    realtime.halt_poll_ns = static_cast<std::uint64_t>(*ns);
  }
  realtime.steer_interrupts = reader.Bool("steer_interrupts").value_or(true);
  reader.Finish();
  return realtime;
}

MemoryConfig ReadMemory(TomlReader& reader, const std::filesystem::path& folder) {
  MemoryConfig memory;
  reader.Require("size");
  // RAM is mapped with 2 MiB blocks where the host allows.
  memory.size_bytes = reader.Size("size", 2 * kMegabyte).value_or(0);
  memory.identity_file = ReadPath(reader, "identity_file", folder);
  if (memory.identity_file) memory.hugepage_bytes = 2 * kMegabyte;
  if (const auto hugepage = reader.Size("hugepages", 1)) {
    memory.hugepage_bytes = *hugepage;
    if (*hugepage < 65536 || (*hugepage & (*hugepage - 1)) != 0) {
      reader.Report("hugepages", R"(must be a huge page size of the host, such as "2M" or "1G")");
    } else if (memory.size_bytes % *hugepage != 0) {
      reader.Report("size", "must be a multiple of 'hugepages'");
    }
  }
  memory.lock = reader.Bool("lock").value_or(false);
  reader.Finish();
  return memory;
}

BootConfig ReadBoot(TomlReader reader, const std::filesystem::path& folder) {
  BootConfig boot;
  reader.Require("kernel");
  boot.kernel = ReadPath(reader, "kernel", folder).value_or("");
  boot.initrd = ReadPath(reader, "initrd", folder);
  for (const std::string& overlay : reader.Strings("overlay")) {
    if (overlay.empty()) reader.Report("overlay", "one is empty; each must be the path of a file");
    boot.overlays.push_back(folder / overlay);
  }
  boot.cmdline = reader.String("cmdline").value_or("");
  if (boot.cmdline.size() > kMaximumCmdline) {
    reader.Report("cmdline", "longer than the " + std::to_string(kMaximumCmdline) +
                                 " characters that Linux takes");
  }
  reader.Finish();
  return boot;
}

// Whether a table is there that has no keys yet.
bool ReadEmptyTable(TomlReader& config, std::string_view key) {
  const bool is_there = config.Has(key);
  config.Table(key).Finish();
  return is_there;
}

std::optional<int> ReadFd(TomlReader& reader, std::string_view key, std::set<int>& taken) {
  const auto number = reader.Integer(key, kMinimumFd, kMaximumFd);
  if (!number) return std::nullopt;
  const int fd = static_cast<int>(*number);
  if (!taken.insert(fd).second) reader.Report(key, "the same descriptor twice");
  return fd;
}

// linux/vm_sockets.h: below are the CIDs of the hypervisor, of the caller and of the host, above is
// VMADDR_CID_ANY.
constexpr std::int64_t kMinimumCid = 3;
constexpr std::int64_t kMaximumCid = UINT32_MAX - 1;

std::optional<VsockConfig> ReadVsock(TomlReader reader, bool enabled, std::set<int>& fds) {
  if (!enabled) return std::nullopt;
  VsockConfig vsock;
  reader.Require("cid");
  vsock.cid =
      static_cast<std::uint32_t>(reader.Integer("cid", kMinimumCid, kMaximumCid).value_or(0));
  vsock.vhost_fd = ReadFd(reader, "vhost_fd", fds);
  reader.Finish();
  return vsock;
}

std::optional<int> ReadIommuFd(TomlReader reader, std::set<int>& taken) {
  const auto fd = ReadFd(reader, "iommu_fd", taken);
  reader.Finish();
  return fd;
}

PlatformConfig ReadPlatform(TomlReader& reader, std::set<int>& fds) {
  PlatformConfig platform;
  reader.Require("host");
  if (const auto host = reader.String("host")) {
    platform.host = *host;
    if (!IsDeviceName(*host)) {
      reader.Report("host", "must be a name under /sys/bus/platform/devices");
    }
  }
  platform.dma = WordOr(reader, "dma", kDmaModes, DmaMode::kIommu);
  platform.ignore_dma_signs = reader.Bool("ignore_dma_signs").value_or(false);
  if (platform.ignore_dma_signs && platform.dma != DmaMode::kNone) {
    reader.Report("ignore_dma_signs", "is for dma = \"none\"");
  }
  platform.interrupts = WordOr(reader, "interrupts", kInterruptPaths, InterruptPath::kIrqfd);
  platform.backend = WordOr(reader, "backend", kBackends, VfioBackend::kAuto);
  platform.device_fd = ReadFd(reader, "device_fd", fds);
  if (platform.device_fd && platform.backend == VfioBackend::kGroup) {
    reader.Report("device_fd", "is for backend = \"iommufd\"");
  }
  for (const auto& [name, hz] : reader.NamedIntegers("clocks", 1, kMaximumClockHz)) {
    platform.clocks_hz[name] = static_cast<std::uint64_t>(hz);
  }
  platform.drop = reader.Strings("drop");
  for (const std::int64_t address : reader.IntegerOrList("address", 0, INT64_MAX)) {
    platform.addresses.push_back(static_cast<std::uint64_t>(address));
  }
  for (const std::int64_t spi : reader.IntegerOrList("spi", 0, kMaximumSpi)) {
    platform.spis.push_back(static_cast<std::uint32_t>(spi));
  }
  for (auto& [name, value] : reader.Properties("properties", kOwnProperties)) {
    if (name == "device_type" && IsText(value, "memory")) {
      reader.Report("properties", "device_type = \"memory\": a device is no RAM of the guest's");
    }
    platform.properties[name] = std::move(value);
  }
  for (const std::string key : {"address", "spi", "drop", "clocks"}) {
    platform.places[key] = reader.Place(key);
  }
  platform.reset = ReadResetConfig(reader);
  platform.windows = ReadWindows(reader);
  reader.Finish();
  return platform;
}

}  // namespace

VmConfig ParseVmConfig(std::string_view text, const std::filesystem::path& path) {
  ConfigProblems problems(path.string());
  toml::table table;
  try {
    table = toml::parse(text, path.string());
  } catch (const toml::parse_error& error) {
    problems.Add(error.source(), "", error.description());
    problems.ThrowIfAny();
  }
  TomlReader reader(&table, "", table.source(), problems);
  VmConfig config;
  config.name = reader.String("name").value_or(path.stem().string());
  if (!IsName(config.name)) {
    reader.Report("name", "must be letters, digits, '-', '_' and '.'");
  }
  config.restart = WordOr(reader, "restart", kRestarts, RestartPolicy::kNever);
  const bool realtime = reader.Has("realtime");
  config.cpu = ReadCpu(reader.Table("cpu"), realtime);
  config.realtime = ReadRealtime(reader.Table("realtime"), realtime, config.cpu);
  TomlReader memory = reader.Table("memory");
  config.memory = ReadMemory(memory, path.parent_path());
  config.memory.lock = config.memory.lock || realtime;
  config.boot = ReadBoot(reader.Table("boot"), path.parent_path());
  config.consoles = ReadConsoles(reader, path.parent_path());
  config.disks = ReadDisks(reader, path.parent_path());
  config.rng.enabled = ReadEmptyTable(reader, "rng");
  config.rtc.enabled = ReadEmptyTable(reader, "rtc");
  config.gpios = ReadGpios(reader, config.name);
  std::set<int> fds;
  const bool vsock = reader.Has("vsock");
  config.vsock = ReadVsock(reader.Table("vsock"), vsock, fds);
  config.nets = ReadNets(reader, config.name, fds);
  config.iommu_fd = ReadIommuFd(reader.Table("vfio"), fds);
  std::set<std::string> hosts;
  for (TomlReader& platform : reader.Tables("platform")) {
    config.platform.push_back(ReadPlatform(platform, fds));
    if (!hosts.insert(config.platform.back().host).second) {
      platform.Report("host", "the same device twice");
    }
    if (config.platform.back().dma == DmaMode::kIdentity && !config.memory.identity_file) {
      platform.Report("dma", R"("identity" needs memory.identity_file, the path of a file that is )"
                             "made in a hugetlbfs");
    }
  }
  const auto is_identity = [](const auto& device) { return device.dma == DmaMode::kIdentity; };
  if (config.memory.identity_file &&
      std::none_of(config.platform.begin(), config.platform.end(), is_identity)) {
    memory.Report("identity_file", "is for devices with dma = \"identity\"");
  }
  reader.Finish();
  problems.ThrowIfAny();
  return config;
}

std::string_view ToString(SchedulingPolicy policy) {
  return kSchedulingPolicies[static_cast<std::size_t>(policy)];
}

std::string_view ToString(RestartPolicy policy) {
  return kRestarts[static_cast<std::size_t>(policy)];
}

std::string_view ToString(DmaMode mode) { return kDmaModes[static_cast<std::size_t>(mode)]; }

std::string_view ToString(VfioBackend backend) {
  return kBackends[static_cast<std::size_t>(backend)];
}

}  // namespace microvm
