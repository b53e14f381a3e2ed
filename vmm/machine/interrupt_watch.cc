// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/interrupt_watch.h"

#include <cinttypes>
#include <cstdio>
#include <map>
#include <string>

#include "vmm/host/error.h"
#include "vmm/host/interrupt_counts.h"

namespace microvm {
namespace {

std::optional<std::uint64_t> CountOf(const std::map<std::uint32_t, std::uint64_t>& counts,
                                     std::uint32_t intid) {
  const auto found = counts.find(intid);
  return found == counts.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

InterruptWatch::InterruptWatch(HostKernel& kernel, const HostSysfs& sysfs,
                               const std::vector<std::unique_ptr<VfioPlatformDevice>>& devices)
    : sysfs_(sysfs), devices_(devices) {
  for (std::size_t device = 0; device < devices.size(); ++device) {
    const std::vector<PlannedInterrupt>& interrupts = devices[device]->plan().interrupts;
    for (std::uint32_t index = 0; index < interrupts.size(); ++index) {
      const PlannedInterrupt& interrupt = interrupts[index];
      if (interrupt.trigger != Trigger::kLevel || interrupt.repeats || !interrupt.host_intid) {
        continue;
      }
      lines_.push_back({device, index, interrupt.spi, *interrupt.host_intid});
    }
  }
  if (!lines_.empty()) probe_ = MakeEventFd(kernel);
}

void InterruptWatch::Look(const SpiReader& read_spi) noexcept {
  std::map<std::uint32_t, std::uint64_t> counts;
  try {
    counts = GicInterrupts(sysfs_);
  } catch (const std::exception& error) {
    return Complain("interrupts cannot be watched at present", error);
  }
  for (Line& line : lines_) {
    if (line.given_up) continue;
    try {
      LookAt(line, CountOf(counts, line.host_intid), read_spi);
    } catch (const std::exception& error) {
      line.given_up = true;
      const VfioPlatformDevice& device = *devices_[line.device];
      Complain(device.name() + ": interrupt " +
                   std::to_string(device.plan().interrupts[line.interrupt].index) +
                   " cannot be watched any more",
               error);
    }
  }
}

void InterruptWatch::LookAt(Line& line, std::optional<std::uint64_t> count,
                            const SpiReader& read_spi) {
  if (!line.state.ShouldProbe(count)) return;
  VfioPlatformDevice& device = *devices_[line.device];
  if (!device.IsMasked(line.interrupt, probe_)) return line.state.FoundUnmasked();
  const SpiState state = read_spi(line.spi);
  if (state.pending || state.active) return line.state.FoundInHand();
  // It may have been ended, and have come again, at any time since it was counted.
  if (!device.IsMasked(line.interrupt, probe_)) return line.state.FoundUnmasked();
  if (CountOf(GicInterrupts(sysfs_), line.host_intid) != count) return;
  device.Unmask(line.interrupt);
  ++line.rearmed;
  Report(line, state);
}

void InterruptWatch::Complain(const std::string& what, const std::exception& error) noexcept {
  if (log_.Take() == 0) return;
  std::fprintf(stderr, "microvm: %s\n%s", what.c_str(), FormatChain(error).c_str());
}

void InterruptWatch::Report(const Line& line, const SpiState& state) noexcept {
  const unsigned lines = log_.Take();
  if (lines == 0) return;
  const VfioPlatformDevice& device = *devices_[line.device];
  std::fprintf(
      stderr,
      "microvm: %s: interrupt %u (SPI %u) was still masked on the host after the guest had done "
      "with it, and is unmasked: host interrupts %" PRIu64 ", unmasked so %" PRIu64 "%s%s\n",
      device.name().c_str(), device.plan().interrupts[line.interrupt].index, line.spi.number,
      line.state.count().value_or(0), line.rearmed,
      state.trigger == Trigger::kEdge
          ? "; the guest takes this level for an edge: its driver, or a 'properties' of the "
            "configuration, is at fault"
          : "",
      lines == 1 ? "; further ones are only counted" : "");
}

std::uint64_t InterruptWatch::rearmed(std::size_t device) const {
  std::uint64_t sum = 0;
  for (const Line& line : lines_) {
    if (line.device == device) sum += line.rearmed;
  }
  return sum;
}

}  // namespace microvm
