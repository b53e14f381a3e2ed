// SPDX-License-Identifier: Apache-2.0
#include "bench/native/host_settings.h"

#include <exception>
#include <set>

#include "vmm/host/file.h"

namespace microvm::bench {
namespace {

namespace fs = std::filesystem;

// The first line of a file; "unknown" if there is none.
std::string Line(const fs::path& path) {
  try {
    const std::string text = ReadTextFile(path.string());
    const std::string line = text.substr(0, text.find('\n'));
    return line.empty() ? "none" : line;
  } catch (const std::exception&) {
    return "unknown";
  }
}

// "PREEMPT_RT" and the like stand in the kernel's version.
std::string Preemption(const std::string& version) {
  for (const char* kind : {"PREEMPT_RT", "PREEMPT_DYNAMIC", "PREEMPT"}) {
    if (version.find(kind) != std::string::npos) return kind;
  }
  return version == "unknown" ? version : "none";
}

std::string Governors(const fs::path& root) {
  std::set<std::string> found;
  std::error_code error;
  for (const auto& cpu : fs::directory_iterator(root / "sys/devices/system/cpu", error)) {
    const fs::path path = cpu.path() / "cpufreq/scaling_governor";
    if (fs::exists(path, error)) found.insert(Line(path));
  }
  std::string told;
  for (const std::string& governor : found) told += (told.empty() ? "" : ", ") + governor;
  return told.empty() ? "none" : told;
}

}  // namespace

std::string FormatHostSettings(const fs::path& root) {
  const std::string version = Line(root / "proc/version");
  return "kernel: " + version + "\npreemption: " + Preemption(version) +
         "\nisolated CPUs: " + Line(root / "sys/devices/system/cpu/isolated") +
         "\nCPUs without a timer tick: " + Line(root / "sys/devices/system/cpu/nohz_full") +
         "\nfrequency governors: " + Governors(root) +
         "\nhalt_poll_ns: " + Line(root / "sys/module/kvm/parameters/halt_poll_ns") +
         "\nreal-time throttling, us: " + Line(root / "proc/sys/kernel/sched_rt_runtime_us") +
         "\ntransparent huge pages: " + Line(root / "sys/kernel/mm/transparent_hugepage/enabled") +
         "\ncommand line: " + Line(root / "proc/cmdline") + "\n";
}

}  // namespace microvm::bench
