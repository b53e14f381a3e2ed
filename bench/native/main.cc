// SPDX-License-Identifier: Apache-2.0
// microvm-bench: the benchmark's guest on this host, with a device of this host, in nanoseconds.
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <thread>

#include "bench/native/command_line.h"
#include "bench/native/distribution.h"
#include "bench/native/host_settings.h"
#include "bench/native/loopback.h"
#include "bench/native/tapped_kernel.h"
#include "vmm/cli/command_line.h"
#include "vmm/cli/run_command.h"
#include "vmm/config/vm_config.h"
#include "vmm/host/error.h"
#include "vmm/host/file.h"
#include "vmm/host/host_device.h"

namespace microvm::bench {
namespace {

constexpr const char* kPl031 = "arm,pl031";

// What the guest prints, line by line, on a thread of its own: the machine's console is this
// program's standard output while it runs.
class GuestConsole {
 public:
  explicit GuestConsole(std::function<void(const std::string&)> on_line)
      : on_line_(std::move(on_line)) {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) throw std::runtime_error("no pipe for the guest's console");
    output_ = dup(STDOUT_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    // Signals are the machine's.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    reader_ = std::thread([this, input = ends[0]] { Read(input); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  GuestConsole(const GuestConsole&) = delete;
  GuestConsole& operator=(const GuestConsole&) = delete;
  GuestConsole(GuestConsole&&) = delete;
  GuestConsole& operator=(GuestConsole&&) = delete;
  ~GuestConsole() {
    dup2(output_, STDOUT_FILENO);  // the pipe's last writer is gone: the reader ends
    reader_.join();
    close(output_);
  }

 private:
  void Read(int input) {
    std::string line;
    char c = 0;
    while (read(input, &c, 1) == 1) {
      if (c == '\r') continue;
      if (c != '\n') {
        line += c;
        continue;
      }
      on_line_(line);
      line.clear();
    }
    close(input);
  }

  std::function<void(const std::string&)> on_line_;
  int output_ = -1;
  std::thread reader_;
};

// What the guest's lines lead to. Used by the console's thread, then by the main one.
struct Measurement {
  const TappedKernel& kernel;
  unsigned samples;
  std::uint64_t hertz = 0;
  std::string report;
  std::string last;
  std::string failure = {};

  void Take(const std::string& line) {
    if (line.starts_with("guest: ")) last = line;
    if (const std::uint64_t told = NumberIn(line, "counter_hz"); told != 0) hertz = told;
    if (hertz == 0) return;
    const std::string converted = InNanoseconds(line, hertz);
    if (!converted.empty()) report += converted + "\n";
    if (line.starts_with("loopback mailbox=")) RaiseFromHere(NumberIn(line, "mailbox"));
  }

  // A guest that gets no interrupts waits for ever, so it is stopped as a user would stop it.
  void RaiseFromHere(std::uint64_t mailbox) {
    try {
      for (const Distribution& distribution :
           RunLoopback(kernel, {.mailbox = mailbox, .samples = samples})) {
        const std::string text = Format(distribution, hertz);
        if (!text.empty()) report += text + "\n";
      }
    } catch (const std::exception& error) {
      failure = error.what();
      kill(getpid(), SIGTERM);
    }
  }
};

std::string GuestPath(const BenchOptions& options) {
  if (!options.guest.empty()) return std::filesystem::absolute(options.guest).string();
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "guest.bin").string();
}

// The values of its node's `compatible`, each with its NUL.
std::string Compatible(const HostSysfs& sysfs, const HostDevice& device) {
  return device.device_tree_path
             ? ReadTextFile((sysfs.DevicePath(device) / "of_node/compatible").string())
             : std::string();
}

std::string GuestArguments(const BenchOptions& options, const std::string& compatible,
                           bool is_pl031) {
  return std::string(is_pl031 ? "mode=latency,wakeup" : "mode=loopback") +
         " count=" + std::to_string(options.samples) + " wfi=" + (options.wfi ? "1" : "0") +
         " timeout_ms=20000 device=" + (is_pl031 ? kPl031 : compatible.c_str());  // the first
}

// The machine's configuration in a file, gone with its owner.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) {
    const int fd = mkstemp(path_.data());
    if (fd < 0) throw std::runtime_error("no temporary file in /tmp");
    close(fd);
    WriteFile(path_, text);
  }
  ConfigFile(const ConfigFile&) = delete;
  ConfigFile& operator=(const ConfigFile&) = delete;
  ConfigFile(ConfigFile&&) = delete;
  ConfigFile& operator=(ConfigFile&&) = delete;
  ~ConfigFile() { unlink(path_.c_str()); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_ = "/tmp/microvm-bench.XXXXXX";
};

int Run(const BenchOptions& options) {
  const HostSysfs sysfs("/");
  const HostDevice device = sysfs.Find(options.device);
  const std::string compatible = Compatible(sysfs, device);
  const bool is_pl031 =
      (std::string(1, '\0') + compatible).find(std::string(1, '\0') + kPl031 + '\0') !=
      std::string::npos;
  const ConfigFile config(MachineConfig(
      options, GuestPath(options), GuestArguments(options, compatible, is_pl031), device.no_iommu));
  TappedKernel kernel;
  Measurement measurement{.kernel = kernel, .samples = options.samples, .report = {}, .last = {}};
  CommandLine line;
  line.command = Command::kRun;
  line.config = config.path();
  int status = 0;
  {
    const GuestConsole console([&](const std::string& said) { measurement.Take(said); });
    status = RunVmCommand(line, kernel, sysfs);
  }
  std::fprintf(stdout, "%s, raised by %s; the guest %s\n%s%s", options.device.c_str(),
               is_pl031 ? "the guest" : "VFIO's loopback", options.wfi ? "sleeps" : "spins",
               FormatHostSettings("/").c_str(), measurement.report.c_str());
  if (!is_pl031 && !kernel.one_counter()) {
    std::puts(
        "(the kernel cannot give the guest the host's counter, as Linux does from 6.4 on: "
        "what lies between the two is not measured)");
  }
  if (!measurement.failure.empty()) {
    std::fprintf(stderr, "microvm-bench: %s\n", measurement.failure.c_str());
    return 1;
  }
  if (status == 0 && measurement.last.starts_with("guest: ok")) return 0;
  std::fprintf(stderr, "microvm-bench: the guest did not get to its end: %s\n",
               measurement.last.empty() ? "it said nothing" : measurement.last.c_str());
  return status == 0 ? 1 : status;
}

int Main(std::span<const char* const> arguments) {
  const BenchOptions options = ParseBenchOptions(arguments);
  if (options.help) {
    std::fputs(kBenchHelp, stdout);
    return 0;
  }
  return Run(options);
}

}  // namespace
}  // namespace microvm::bench

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  try {
    return microvm::bench::Main(
        std::span<const char* const>(argv, static_cast<std::size_t>(argc)).subspan(1));
  } catch (const microvm::UsageError& error) {
    std::fprintf(stderr, "microvm-bench: %s\nsee microvm-bench --help\n", error.what());
    return 2;
  } catch (const microvm::ConfigError& error) {
    std::fprintf(stderr, "microvm-bench: the configuration is wrong:\n%s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "microvm-bench: %s", microvm::FormatChain(error).c_str());
    return 1;
  }
}
