// SPDX-License-Identifier: Apache-2.0
#include "vmm/doctor/host_settings.h"

#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "vmm/host/file.h"
#include "vmm/host/parse_number.h"

namespace microvm {
namespace {

namespace fs = std::filesystem;

// No kernel has more; /proc/config.gz of a few KiB could unpack to anything.
constexpr std::size_t kLargestConfig = std::size_t{4} << 20;

template <typename Number>
std::optional<Number> ReadNumber(const fs::path& path) {
  return ParseNumber<Number>(ReadAttribute(path));
}

bool IsOn(const fs::path& path) {
  const std::string text = ReadAttribute(path);
  return !text.empty() && text != "0" && text != "N";
}

// The word in brackets of "always [madvise] never".
std::string Chosen(const std::string& text) {
  const std::size_t start = text.find_first_of("[(");
  if (start == std::string::npos) return {};
  return text.substr(start + 1, text.find_first_of("])", start) - start - 1);
}

// The content of a file that gzip may have compressed; "" if it cannot be read.
std::string ReadPerhapsCompressed(const fs::path& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(::gzopen(path.c_str(), "rb"), ::gzclose);
  std::string text;
  std::array<char, 16384> chunk{};
  while (file && text.size() < kLargestConfig) {
    const int count = ::gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()));
    if (count <= 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(count));
  }
  return text;
}

std::optional<std::map<std::string, std::string>> ReadKernelConfig(const fs::path& root,
                                                                   const std::string& release) {
  std::string text = ReadPerhapsCompressed(root / "proc/config.gz");
  if (text.empty()) text = ReadPerhapsCompressed(root / ("boot/config-" + release));
  if (text.empty()) return std::nullopt;
  std::map<std::string, std::string> config;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = std::string_view(text).substr(start, end - start);
    start = end + 1;
    const std::size_t equals = line.find('=');
    if (!line.starts_with("CONFIG_") || equals == std::string_view::npos) continue;
    config.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return config;
}

void ReadCpus(const fs::path& root, HostSettings& host) {
  const fs::path cpus = root / "sys/devices/system/cpu";
  host.online = ParseCpuList(ReadAttribute(cpus / "online"));
  host.isolated = ParseCpuList(ReadAttribute(cpus / "isolated"));
  host.tickless = ParseCpuList(ReadAttribute(cpus / "nohz_full"));
  for (const unsigned cpu : host.online) {
    const fs::path folder = cpus / ("cpu" + std::to_string(cpu));
    std::string governor = ReadAttribute(folder / "cpufreq/scaling_governor");
    if (!governor.empty()) host.governors[cpu] = std::move(governor);
    for (const std::string& name : NamesIn(folder / "cpuidle")) {
      const auto number = ParseNumber<unsigned>(
          std::string_view(name).substr(std::min(name.size(), std::string_view("state").size())));
      const fs::path state = folder / "cpuidle" / name;
      const auto latency = ReadNumber<std::uint64_t>(state / "latency");
      if (!number || !latency || IsOn(state / "disable")) continue;
      host.idle_states.push_back({cpu, *number, ReadAttribute(state / "name"), *latency});
    }
  }
  for (const std::string& name : NamesIn(root / "sys/class/thermal")) {
    const fs::path device = root / "sys/class/thermal" / name;
    if (!name.starts_with("cooling_device") || !IsOn(device / "cur_state")) continue;
    std::string told = name;
    host.throttled.push_back(told.append(" (").append(ReadAttribute(device / "type")).append(")"));
  }
}

void ReadInterrupts(const fs::path& root, HostSettings& host) {
  for (const std::string& name : NamesIn(root / "proc/irq")) {
    const auto number = ParseNumber<unsigned>(name);
    if (!number) continue;
    std::string users = ReadAttribute(root / "sys/kernel/irq" / name / "actions");
    if (users.empty()) continue;
    const fs::path folder = root / "proc/irq" / name;
    host.interrupts.push_back({*number, std::move(users),
                               ParseCpuList(ReadAttribute(folder / "effective_affinity_list"))});
  }
}

void ReadMemory(const fs::path& root, HostSettings& host) {
  const fs::path mm = root / "sys/kernel/mm";
  host.transparent_hugepages = Chosen(ReadAttribute(mm / "transparent_hugepage/enabled"));
  for (const std::string& name : NamesIn(mm / "hugepages")) {
    constexpr std::string_view kPrefix = "hugepages-";
    if (!name.starts_with(kPrefix) || !name.ends_with("kB")) continue;
    const auto kib = ParseNumber<std::uint64_t>(
        std::string_view(name).substr(kPrefix.size(), name.size() - kPrefix.size() - 2));
    const auto total = ReadNumber<std::uint64_t>(mm / "hugepages" / name / "nr_hugepages");
    const auto free = ReadNumber<std::uint64_t>(mm / "hugepages" / name / "free_hugepages");
    if (kib && total && free) host.hugepages[*kib * 1024] = {*total, *free};
  }
  host.ksm = ReadAttribute(mm / "ksm/run") == "1";
  const std::string swaps = ReadAttribute(root / "proc/swaps");  // a title, and a line for each
  host.swap = swaps.find('\n') != std::string::npos;
}

void ReadLimits(HostSettings& host) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_RTPRIO, &limit) == 0) host.rtprio_limit = limit.rlim_cur;
  if (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0) host.memlock_limit_bytes = limit.rlim_cur;
  host.root = ::geteuid() == 0;
}

}  // namespace

HostSettings ReadHostSettings(const fs::path& root) {
  HostSettings host;
  const fs::path sysctl = root / "proc/sys/kernel";
  host.kernel_release = ReadAttribute(sysctl / "osrelease");
  host.kernel_config = ReadKernelConfig(root, host.kernel_release);
  host.preemption = Chosen(ReadAttribute(root / "sys/kernel/debug/sched/preempt"));
  host.real_time_kernel = IsOn(root / "sys/kernel/realtime");
  ReadCpus(root, host);
  ReadInterrupts(root, host);
  host.rt_runtime_us = ReadNumber<std::int64_t>(sysctl / "sched_rt_runtime_us");
  host.rt_period_us = ReadNumber<std::int64_t>(sysctl / "sched_rt_period_us");
  host.halt_poll_ns = ReadNumber<std::uint64_t>(root / "sys/module/kvm/parameters/halt_poll_ns");
  ReadMemory(root, host);
  host.numa_balancing = IsOn(sysctl / "numa_balancing");
  host.watchdog = IsOn(sysctl / "watchdog");
  host.tracer = ReadAttribute(root / "sys/kernel/tracing/current_tracer");
  const std::string kvm = (root / "dev/kvm").string();
  host.kvm = ::access(kvm.c_str(), F_OK) == 0;
  host.may_use_kvm = ::access(kvm.c_str(), R_OK | W_OK) == 0;
  std::error_code error;
  host.vfio_platform = fs::exists(root / "sys/bus/platform/drivers/vfio-platform", error) ||
                       fs::exists(root / "sys/bus/amba/drivers/vfio-amba", error);
  ReadLimits(host);
  return host;
}

}  // namespace microvm
