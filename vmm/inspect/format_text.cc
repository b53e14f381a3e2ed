// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/error.h"
#include "vmm/inspect/format.h"

namespace microvm {
namespace {

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string CellText(const std::vector<std::uint32_t>& cells) {
  std::string text = "<";
  for (const std::uint32_t cell : cells) text += (text.size() == 1 ? "" : " ") + Hex(cell);
  return text + ">";
}

std::string Named(const std::string& name) { return name.empty() ? "" : " " + name; }

std::string With(const char* word, const std::vector<std::string>& others) {
  return others.empty() ? "" : std::string(", ") + word + " " + Join(others);
}

std::string Padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size() + 1, width), ' ');
  return text;
}

std::string GroupText(const LiveFacts& live) {
  if (!live.iommu_group) return "-";
  return std::to_string(*live.iommu_group) + (live.no_iommu ? " (no IOMMU)" : "");
}

// `text` may have several lines: those after the first stand below it.
void AppendItem(std::string& out, const std::string& head, const std::string& text) {
  out += head;
  for (const char c : text) {
    out += c;
    if (c == '\n') out += std::string(head.size(), ' ');
  }
  out += '\n';
}

void AppendRegions(std::string& out, const Inspection& inspection) {
  std::size_t index = 0;
  for (const RegionView& view : inspection.regions) {
    const NodeRegion& region = view.region;
    out += "region " + std::to_string(index++) + Named(view.name) + ": ";
    if (region.cpu_address) {
      out += Hex(*region.cpu_address) + " + " + Hex(region.size_bytes) +
             (region.IsPageAligned() ? ", whole pages" : ", not whole pages");
    } else {
      out += Hex(region.bus_address) + " on its bus, which the CPU does not reach";
    }
    out += With("in a page with", view.page_sharers) + With("registers shared with", view.owners) +
           "\n";
  }
}

void AppendInterrupts(std::string& out, const Inspection& inspection) {
  std::size_t index = 0;
  for (const InterruptView& view : inspection.interrupts) {
    const InterruptLine& line = view.line;
    const char* trigger = !line.trigger                      ? "unknown trigger"
                          : *line.trigger == Trigger::kLevel ? "level"
                                                             : "edge";
    out += "interrupt " + std::to_string(index++) + Named(view.name) + ": " + trigger;
    if (line.intid) {
      out += ", " + line.kind + " " + std::to_string(line.specifier[1]) + " (INTID " +
             std::to_string(*line.intid) + ")";
    } else {
      out += ", " + CellText(line.specifier) + " of " + line.controller;
    }
    if (view.duplicate) out += ", listed before";
    out += With("shared with", view.shared_with) + "\n";
  }
}

void AppendDma(std::string& out, const DmaFacts& dma) {
  for (const IommuFacts& iommu : dma.iommus) {
    out += "IOMMU: " + iommu.path + " " + CellText(iommu.specifier) +
           (iommu.driver.empty() ? "" : ", " + iommu.driver) +
           (iommu.accepted ? ", accepted by VFIO: " : ", not accepted by VFIO: ") + iommu.why +
           "\n";
  }
  if (dma.iommus.empty()) out += "IOMMU: none\n";
  for (const std::string& sign : dma.signs) out += "sign of DMA: " + sign + "\n";
  if (dma.coherent) out += "DMA is coherent\n";
  for (const DmaWindow& window : dma.windows) {
    out += "DMA window: " + Hex(window.bus_address) + " + " + Hex(window.size_bytes) +
           " on its bus is " + Hex(window.cpu_address) + "\n";
  }
}

void AppendSuppliers(std::string& out, const Inspection& inspection) {
  for (const SupplierView& view : inspection.suppliers) {
    out += std::string(ToString(view.supplier)) + Named(view.name) + " from " + view.provider;
    if (!view.arguments.empty()) out += " " + CellText(view.arguments);
    if (view.rate_hz) {
      out += ": " + std::to_string(*view.rate_hz) + " Hz";
    } else if (view.property == "clocks") {
      out += ": rate not known";
    }
    out += With("shared with", view.shared_with) + "\n";
  }
}

void AppendVerdict(std::string& out, const Inspection& inspection) {
  for (const std::string& line : inspection.left_out) out += "left out: " + line + "\n";
  out += std::string("verdict: ") + ToString(inspection.verdict) + "\n";
  for (const Reason& reason : inspection.reasons) {
    AppendItem(out, "  - ", reason.text);
    if (!reason.fix.empty()) AppendItem(out, "    to fix it: ", reason.fix);
  }
  if (inspection.live) {
    const std::string& not_ready = inspection.live->not_ready;
    const bool is_refused = inspection.verdict == Verdict::kRefused;
    AppendItem(out, "start: ",
               !not_ready.empty() ? "not yet: " + not_ready
               : is_refused       ? "refused, for the reasons above"
                                  : "ready");
  }
  if (!inspection.host_fixes.empty()) out += "the host needs:\n";
  for (const std::string& fix : inspection.host_fixes) AppendItem(out, "  ", fix);
  out += inspection.toml;
}

}  // namespace

std::string FormatText(const Inspection& inspection) {
  std::string out = "device: " + inspection.device + "\n";
  if (inspection.live) {
    const LiveFacts& live = *inspection.live;
    out += "driver: " + (live.driver.empty() ? "-" : live.driver) + "\n";
    out += "IOMMU group: " + GroupText(live) + With("with", live.group_members) + "\n";
  }
  for (const std::string& compatible : inspection.compatible) {
    out += "compatible: " + compatible + "\n";
  }
  if (!inspection.node.empty()) out += "node: " + inspection.node + "\n";
  AppendRegions(out, inspection);
  AppendInterrupts(out, inspection);
  if (!inspection.node.empty()) AppendDma(out, inspection.dma);
  AppendSuppliers(out, inspection);
  for (const HostUser& user : inspection.users) {
    out += "needed by " + user.path + " (" + user.property + ")\n";
  }
  if (!inspection.node.empty()) {
    out += "reset: " +
           (!inspection.reset_driver.empty() ? inspection.reset_driver
            : inspection.amba                ? "none; vfio-amba asks for none"
                                             : "none") +
           "\n";
  }
  AppendVerdict(out, inspection);
  return out;
}

std::string FormatRowTitles(bool live) {
  return Padded("DEVICE", 29) + Padded("VERDICT", 15) +
         (live ? Padded("DRIVER", 21) + Padded("IOMMU GROUP", 15) : "") + "COMPATIBLE\n";
}

std::string FormatRow(const Inspection& inspection) {
  std::string row = Padded(inspection.device, 29) + Padded(ToString(inspection.verdict), 15);
  if (inspection.live) {
    row += Padded(inspection.live->driver.empty() ? "-" : inspection.live->driver, 21) +
           Padded(GroupText(*inspection.live), 15);
  }
  return row + (inspection.compatible.empty() ? "-" : inspection.compatible.front()) + "\n";
}

}  // namespace microvm
