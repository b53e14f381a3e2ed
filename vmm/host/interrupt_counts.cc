// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/interrupt_counts.h"

#include <algorithm>
#include <string_view>

#include "vmm/host/file.h"
#include "vmm/host/parse_number.h"

namespace microvm {
namespace {

std::string_view NextWord(std::string_view& line) {
  const std::size_t start = std::min(line.find_first_not_of(' '), line.size());
  const std::size_t end = std::min(line.find(' ', start), line.size());
  const std::string_view word = line.substr(start, end - start);
  line.remove_prefix(end);
  return word;
}

// The counts of one line of /proc/interrupts, "35:  12  0  GICv3 ...", added up over the CPUs.
std::uint64_t SumOfCounts(std::string_view line) {
  NextWord(line);
  std::uint64_t sum = 0;
  while (const auto count = ParseNumber<std::uint64_t>(NextWord(line))) sum += *count;
  return sum;
}

// A line of /proc/interrupts for an interrupt of a GIC (kernel/irq/proc.c):
// " 14:   0   0   GICv3  34 Level   name, name".
struct GicLine {
  std::uint32_t intid;
  std::uint64_t count;
  std::string_view users;
};

template <typename Use>
void ForEachGicLine(std::string_view text, Use&& use) {
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = text.substr(start, end - start);
    start = end + 1;
    std::string_view rest = line;
    NextWord(rest);  // the kernel's number
    std::string_view chip = NextWord(rest);
    while (ParseNumber<std::uint64_t>(chip)) chip = NextWord(rest);
    // Of GICv2m, and the like, the number is a vector's.
    if (chip != "GICv3" && chip != "GICv2" && !chip.starts_with("GIC-")) continue;
    const auto intid = ParseNumber<std::uint32_t>(NextWord(rest));
    NextWord(rest);  // the trigger
    if (!intid) continue;
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    use(GicLine{*intid, SumOfCounts(line), rest});
  }
}

std::string ReadInterrupts(const HostSysfs& sysfs) {
  return ReadTextFile((sysfs.root() / "proc/interrupts").string());
}

// The lines of interrupts that VFIO has, of the device that the kernel calls `owner` in them.
template <typename Use>
void ForEachVfioLine(std::string_view text, const std::string& owner, Use&& use) {
  const std::string suffix = "](" + owner + ")";  // vfio_platform_irq.c: "vfio-irq[%d](%s)"
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = text.substr(start, end - start);
    start = end + 1;
    if (line.ends_with(suffix) && line.find("vfio-irq[") != std::string_view::npos) use(line);
  }
}

// How the kernel calls the device in the names of its interrupts.
std::optional<std::string> InterruptOwner(const HostSysfs& sysfs, const std::string& name) {
  if (sysfs.HasDevice(HostBus::kPlatform, name) || !sysfs.HasDevice(HostBus::kAmba, name)) {
    return name;
  }
  const HostDevice device = sysfs.Find(name);
  // "%08x" of the peripheral ID.
  const std::string id = ReadAttribute(sysfs.DevicePath(device) / "id");
  if (id.empty()) return std::nullopt;
  for (const HostDevice& other : sysfs.All()) {
    const bool is_other = other.bus == HostBus::kAmba && other.name != name;
    if (is_other && other.bound_to_vfio() && ReadAttribute(sysfs.DevicePath(other) / "id") == id) {
      return std::nullopt;
    }
  }
  return "vfio-amba-" + id;
}

// /proc/interrupts leaves out the CPUs that are offline now, sysfs does not.
std::uint64_t CountsOf(const HostSysfs& sysfs, std::string_view line) {
  std::string_view rest = line;
  std::string number(NextWord(rest));
  if (!number.empty()) number.pop_back();  // the colon
  std::string counts = ReadAttribute(sysfs.root() / "sys/kernel/irq" / number / "per_cpu_count");
  if (counts.empty()) return SumOfCounts(line);
  std::replace(counts.begin(), counts.end(), ',', ' ');
  return SumOfCounts(": " + counts);
}

}  // namespace

std::optional<std::uint64_t> VfioInterrupts(const HostSysfs& sysfs, const std::string& name) {
  const std::optional<std::string> owner = InterruptOwner(sysfs, name);
  if (!owner) return std::nullopt;
  std::uint64_t sum = 0;
  ForEachVfioLine(ReadInterrupts(sysfs), *owner,
                  [&](std::string_view line) { sum += CountsOf(sysfs, line); });
  return sum;
}

std::vector<unsigned> VfioInterruptNumbers(const HostSysfs& sysfs, const std::string& name) {
  std::vector<unsigned> numbers;
  const std::optional<std::string> owner = InterruptOwner(sysfs, name);
  if (!owner) return numbers;
  ForEachVfioLine(ReadInterrupts(sysfs), *owner, [&](std::string_view line) {
    const std::string_view word = NextWord(line);  // with a colon
    const auto number = ParseNumber<unsigned>(word.substr(0, word.size() - 1));
    if (number) numbers.push_back(*number);
  });
  return numbers;
}

std::map<std::uint32_t, std::uint64_t> GicInterrupts(const HostSysfs& sysfs) {
  std::map<std::uint32_t, std::uint64_t> counts;
  ForEachGicLine(ReadInterrupts(sysfs),
                 [&](const GicLine& line) { counts[line.intid] = line.count; });
  return counts;
}

std::map<std::uint32_t, std::string> LineUsers(const HostSysfs& sysfs) {
  std::map<std::uint32_t, std::string> users;
  ForEachGicLine(ReadInterrupts(sysfs), [&](const GicLine& line) {
    if (!line.users.empty()) users[line.intid] = line.users;
  });
  return users;
}

}  // namespace microvm
