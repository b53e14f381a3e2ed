// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/statistics.h"

#include <algorithm>

namespace microvm {
namespace {

std::string Quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + '"';
}

// "name":value, with the comma that goes before it; null for nothing.
void AppendNumber(std::string& json, const std::string& name, std::optional<std::uint64_t> value) {
  if (json.back() != '{') json += ',';
  json += Quoted(name) + ":" + (value ? std::to_string(*value) : "null");
}

void AppendDevice(std::string& json, const DeviceStatistics& device) {
  if (json.back() != '[') json += ',';
  json += "\n  {\"name\":" + Quoted(device.name);
  AppendNumber(json, "interrupts", device.interrupts);
  AppendNumber(json, "userspace_irqs", device.userspace_irqs);
  AppendNumber(json, "mapped_bytes", device.mapped_bytes);
  AppendNumber(json, "trapped_reads", device.trapped_reads);
  AppendNumber(json, "trapped_writes", device.trapped_writes);
  AppendNumber(json, "denied_reads", device.denied_reads);
  AppendNumber(json, "denied_writes", device.denied_writes);
  AppendNumber(json, "rearmed_interrupts", device.rearmed_interrupts);
  json += "}";
}

void AppendVirtio(std::string& json, const VirtioStatistics& device) {
  if (json.back() != '[') json += ',';
  json += "\n  {\"name\":" + Quoted(device.name);
  AppendNumber(json, "requests", device.requests);
  AppendNumber(json, "bytes_read", device.bytes_read);
  AppendNumber(json, "bytes_written", device.bytes_written);
  AppendNumber(json, "errors", device.errors);
  AppendNumber(json, "notifications", device.notifications);
  AppendNumber(json, "interrupts", device.interrupts);
  AppendNumber(json, "failures", device.failures);
  json += "}";
}

void AppendPl061(std::string& json, const Pl061Statistics& device) {
  if (json.back() != '[') json += ',';
  json += "\n  {\"name\":" + Quoted(device.name);
  AppendNumber(json, "edges", device.edges);
  AppendNumber(json, "interrupts", device.interrupts);
  AppendNumber(json, "errors", device.errors);
  json += "}";
}

}  // namespace

const char* ToString(StopReason reason) {
  switch (reason) {
    case StopReason::kPowerOff:
      return "power-off";
    case StopReason::kReset:
      return "reset";
    case StopReason::kCrash:
      return "crash";
    case StopReason::kVcpuError:
      return "vcpu-error";
    case StopReason::kTerminated:
      return "terminated";
    case StopReason::kConsoleQuit:
      return "console-quit";
  }
  return "unknown";
}

void AddExits(Statistics& statistics, const VcpuExits& exits) {
  const auto add = [&](const char* name, const std::atomic<std::uint64_t>& counter) {
    const std::uint64_t count = counter.load(std::memory_order_relaxed);
    const auto found = std::find_if(statistics.vcpu_exits.begin(), statistics.vcpu_exits.end(),
                                    [&](const auto& entry) { return entry.first == name; });
    if (found != statistics.vcpu_exits.end()) {
      found->second += count;
    } else {
      statistics.vcpu_exits.emplace_back(name, count);
    }
  };
  add("mmio_read", exits.mmio_read);
  add("mmio_write", exits.mmio_write);
  add("undecodable", exits.undecodable);
  add("interrupted", exits.interrupted);
  add("system_event", exits.system_event);
  add("other", exits.other);
  statistics.vcpu_delays.page_faults += exits.delays.page_faults;
  statistics.vcpu_delays.preemptions += exits.delays.preemptions;
  statistics.vcpu_delays.allocations += exits.delays.allocations;
}

std::string FormatJson(const Statistics& statistics) {
  std::string json = "{\"name\":" + Quoted(statistics.name);
  json += ",\n\"exit\":{\"status\":" + std::to_string(statistics.exit_status) +
          ",\"reason\":" + Quoted(statistics.exit_reason) + "},\n\"startup\":{";
  for (const Phase& phase : statistics.startup) {
    AppendNumber(json, std::string(phase.name) + "_ns", phase.ns);
  }
  AppendNumber(json, "first_run_boottime_ns", statistics.first_run_boottime_ns);
  AppendNumber(json, "first_run_cpu_ns", statistics.first_run_cpu_ns);
  json += "},\n\"boots\":" + std::to_string(statistics.boots) + ",\n\"vcpu_exits\":{";
  for (const auto& [name, count] : statistics.vcpu_exits) AppendNumber(json, name, count);
  json += "},\n\"vcpu_delays\":{";
  AppendNumber(json, "page_faults", statistics.vcpu_delays.page_faults);
  AppendNumber(json, "preemptions", statistics.vcpu_delays.preemptions);
  AppendNumber(json, "allocations", statistics.vcpu_delays.allocations);
  json += "},\n\"refused_accesses\":" + std::to_string(statistics.refused_accesses) +
          ",\n\"rtc_alarms\":" + std::to_string(statistics.rtc_alarms) + ",\n\"devices\":[";
  for (const DeviceStatistics& device : statistics.devices) AppendDevice(json, device);
  json += "],\n\"virtio\":[";
  for (const VirtioStatistics& device : statistics.virtio) AppendVirtio(json, device);
  json += "],\n\"pl061\":[";
  for (const Pl061Statistics& device : statistics.pl061s) AppendPl061(json, device);
  return json + "]}\n";
}

}  // namespace microvm
