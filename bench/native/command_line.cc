// SPDX-License-Identifier: Apache-2.0
#include "bench/native/command_line.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "vmm/cli/command_line.h"

namespace microvm::bench {
namespace {

unsigned Number(std::string_view option, std::string_view text, unsigned low, unsigned high) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < low || number > high) {
    throw UsageError(std::string(option) + " takes a number from " + std::to_string(low) + " to " +
                     std::to_string(high) + ", not '" + std::string(text) + "'");
  }
  return number;
}

void Take(BenchOptions& options, std::string_view option, const char* value) {
  if (option == "--device") {
    options.device = value;
  } else if (option == "--guest") {
    options.guest = value;
  } else if (option == "--samples") {
    options.samples = Number(option, value, 100, 20'000);
  } else if (option == "--cpu") {
    options.cpu = Number(option, value, 0, 4095);
  } else if (option == "--fifo") {
    options.fifo = Number(option, value, 1, 99);
  } else if (option == "--set") {
    options.set.emplace_back(value);
  } else {
    throw UsageError("unknown option '" + std::string(option) + "'");
  }
}

}  // namespace

const char* const kBenchHelp =
    R"(usage: microvm-bench --device NAME [OPTION]...
Measures, in nanoseconds, how long an interrupt of a passed-through device takes into a guest and back.
A PL031 is raised by the guest; any other device by VFIO's loopback, and none of its registers is touched.
The device is bound to VFIO: microvm device bind NAME
  --samples N     of each figure (default 2000)
  --wfi           the guest sleeps while it waits
  --cpu N         the host CPU of the guest's vCPU
  --fifo N        its vCPU thread is SCHED_FIFO with this priority
  --set 'LINE'    a line for the device's [[platform]] table, such as 'dma = "none"'; may be repeated
  --guest FILE    the test guest (default: guest.bin beside this program)
)";

BenchOptions ParseBenchOptions(std::span<const char* const> list) {
  BenchOptions options;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string_view option = list[i];
    if (option == "--help" || option == "-h") {
      options.help = true;
      return options;
    }
    if (option == "--wfi") {
      options.wfi = true;
      continue;
    }
    if (i + 1 == list.size()) throw UsageError(std::string(option) + " needs a value");
    Take(options, option, list[++i]);
  }
  if (options.device.empty()) throw UsageError("--device NAME is missing");
  return options;
}

std::string MachineConfig(const BenchOptions& options, const std::string& kernel,
                          const std::string& cmdline, bool no_iommu) {
  std::string text = "name = \"bench\"\n[cpu]\ncount = 1\n";
  if (options.cpu) text += "affinity = [" + std::to_string(*options.cpu) + "]\n";
  if (options.fifo) {
    text += "policy = \"fifo\"\npriority = " + std::to_string(*options.fifo) + "\n";
  }
  text += "[memory]\nsize = \"32M\"\n[console]\ninput = false\n[boot]\nkernel = \"" + kernel +
          "\"\ncmdline = \"" + cmdline + "\"\n[[platform]]\nhost = \"" + options.device + "\"\n";
  const bool has_dma =
      std::any_of(options.set.begin(), options.set.end(),
                  [](const std::string& line) { return line.starts_with("dma "); });
  if (no_iommu && !has_dma) text += "dma = \"none\"\n";
  for (const std::string& line : options.set) text += line + "\n";
  return text;
}

}  // namespace microvm::bench
