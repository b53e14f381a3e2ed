// SPDX-License-Identifier: Apache-2.0
// Facts to verdict, reasons and fixes.
#include <algorithm>
#include <array>

#include "vmm/inspect/inspect.h"
#include "vmm/inspect/platform_table.h"

namespace microvm {
namespace {

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  // Of users no more are known.
  return words.size() == HostIndex::kMostUsers ? text + ", ..." : text;
}

// Whether nothing of the running host drives a node now.
bool IsIdle(const Inspection& inspection, const std::string& node) {
  return inspection.live && inspection.live->idle_nodes.contains(node);
}

constexpr const char* kTakeFirst =
    "take these from the host first, in its device tree or by unbinding them";

bool IsBound(const Inspection& inspection) {
  return inspection.live && inspection.live->bound_to_vfio;
}

void JudgeNode(const Inspection& inspection, std::vector<Reason>& reasons) {
  if (!inspection.enabled) {
    reasons.push_back({Verdict::kRefused,
                       "the host's tree has it disabled, so the host makes no device of it",
                       "status = \"okay\" in the host's device tree, for it and all nodes above"});
  }
  if (inspection.compatible.empty()) {
    reasons.push_back(
        {Verdict::kRefused, "it has no compatible, so the host makes no device of it"});
  }
  if (!inspection.maker.empty() && HasReachedRegion(inspection)) {
    reasons.push_back({Verdict::kAsIs, "it is a device of the host's only if the driver of " +
                                           inspection.maker + " makes one of it"});
  }
  if (!inspection.regions.empty() && !HasReachedRegion(inspection)) {
    reasons.push_back({Verdict::kRefused,
                       "the CPU does not reach its registers in memory: it is a device on the bus "
                       "of " +
                           inspection.node.substr(0, inspection.node.rfind('/')),
                       "pass through the controller of that bus"});
  }
  if (inspection.live && !inspection.live->in_use.empty()) {
    reasons.push_back({Verdict::kRefused, inspection.live->in_use, inspection.live->in_use_fix});
  }
  std::vector<std::string> users;
  for (const HostUser& user : inspection.users) {
    if (IsIdle(inspection, user.path)) continue;
    users.push_back(user.path + " (" + user.property + ")");
  }
  if (!users.empty() && !IsBound(inspection)) {
    reasons.push_back({Verdict::kRefused, "the host needs it for " + Join(users), kTakeFirst});
  }
}

// Memory that the host's tree has nodes of.
void JudgeMemory(const Inspection& inspection, std::vector<Reason>& reasons) {
  const auto& compatible = inspection.compatible;
  const bool is_screen =
      std::find(compatible.begin(), compatible.end(), "simple-framebuffer") != compatible.end();
  if (!is_screen && !inspection.node.starts_with("/reserved-memory/")) return;
  reasons.push_back({Verdict::kRefused,
                     is_screen ? "it is memory that the host's firmware has a display show"
                               : "it is memory that the host's tree reserves, and no device",
                     "pass through the device that uses it"});
}

// What cannot be handed over while the host uses it.
struct Shared {
  std::string what;  // "region 0 has registers"
  std::string why;   // ": ..."
  std::string fix;
};

void JudgeSharing(const Inspection& inspection, const std::vector<std::string>& others,
                  const Shared& shared, std::vector<Reason>& reasons) {
  std::vector<std::string> users;
  std::vector<std::string> idle;
  for (const std::string& node : others) {
    (IsIdle(inspection, node) ? idle : users).push_back(node);
  }
  if (!users.empty()) {
    reasons.push_back({Verdict::kRefused,
                       shared.what + " that the host uses for " + Join(users) + shared.why,
                       shared.fix});
  }
  if (!idle.empty()) {
    reasons.push_back({Verdict::kAsIs, shared.what + " that " + Join(idle) +
                                           " would have too, with a driver: leave it without"});
  }
}

void JudgeRegions(const Inspection& inspection, std::vector<Reason>& reasons) {
  for (std::size_t index = 0; index < inspection.regions.size(); ++index) {
    const RegionView& view = inspection.regions[index];
    const std::string name = "region " + std::to_string(index);
    if (view.region.size_bytes == 0 && HasReachedRegion(inspection)) {
      reasons.push_back({Verdict::kRefused, name + " has no bytes: VFIO does not take the device"});
    }
    if (!view.region.cpu_address) continue;
    if (!view.region.IsPageAligned()) {
      reasons.push_back(
          {Verdict::kAsIs,
           name + " is not whole pages of 4 KiB: each access to it leaves the guest"});
    }
    JudgeSharing(inspection, view.owners, {name + " has registers", "", kTakeFirst}, reasons);
    if (!view.page_sharers.empty()) {
      reasons.push_back({Verdict::kAsIs, name + " shares a page with " + Join(view.page_sharers)});
    }
  }
}

std::string LeaveLine(std::size_t index) {
  return std::string(kTakeFirst) +
         "; or leave it to the host: drop = [\"interrupts:" + std::to_string(index) + "\"]";
}

void JudgeInterrupts(const Inspection& inspection, std::vector<Reason>& reasons) {
  for (std::size_t index = 0; index < inspection.interrupts.size(); ++index) {
    const InterruptView& view = inspection.interrupts[index];
    const std::string name = "interrupt " + std::to_string(index);
    if (!view.line.impossible.empty()) {
      reasons.push_back({Verdict::kRefused, name + " " + view.line.impossible});
    }
    if (view.line.kind == "PPI" || view.line.kind == "EPPI") {
      reasons.push_back(
          {Verdict::kRefused, name + " belongs to each CPU (PPI): VFIO cannot take it"});
    }
    if (view.duplicate) {
      reasons.push_back({Verdict::kAsIs,
                         name + " is a line that the node lists before: the guest has one SPI for "
                                "both"});
    }
    JudgeSharing(inspection, view.shared_with,
                 {name + " is a line", ": VFIO does not share lines", LeaveLine(index)}, reasons);
  }
}

// DMA that nothing keeps from the host's memory, by the looks of it.
bool DoesFreeDma(const Inspection& inspection) {
  return !BehindIommu(inspection) && !inspection.dma.signs.empty();
}

void JudgeDma(const Inspection& inspection, std::vector<Reason>& reasons) {
  const bool kernel_accepted = IsBound(inspection) && !inspection.live->no_iommu;
  for (const IommuFacts& iommu : inspection.dma.iommus) {
    if (iommu.accepted || kernel_accepted) continue;
    reasons.push_back(
        {Verdict::kRefused, "VFIO does not accept its IOMMU " + iommu.path +
                                (iommu.driver.empty() ? "" : " (" + iommu.driver + ")") + ": " +
                                iommu.why});
  }
  if (DoesFreeDma(inspection)) {
    reasons.push_back(
        {Verdict::kRefused,
         "it does DMA, by the looks of it (" + Join(inspection.dma.signs) +
             "), and no IOMMU stands before it",
         std::string("if it is known to do none: dma = \"none\" and ignore_dma_signs = true") +
             (inspection.dma.moves_addresses()
                  ? ""
                  : "; if the guest may be trusted with all of the host's memory: dma = "
                    "\"identity\"")});
  }
}

void JudgeSuppliers(const Inspection& inspection, std::vector<Reason>& reasons) {
  if (!inspection.driver_rates.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, hz] : inspection.driver_rates) names.push_back(name);
    reasons.push_back({Verdict::kWithStubs,
                       "only the host's driver tells the rate of its clocks: " + Join(names),
                       "write them into the TOML, as below, before the device is bound to VFIO"});
  }
  if (!inspection.unknown_rates.empty() && !inspection.live) {
    reasons.push_back(
        {Verdict::kWithStubs,
         "only the running host knows the rate of its clocks: " + Join(inspection.unknown_rates),
         "inspect it on the host, or write their rates in Hz into the TOML"});
  }
  std::vector<std::string> replaced;
  for (const SupplierView& view : inspection.suppliers) {
    std::string word = std::string(ToString(view.supplier)) + " (" + view.property + ")";
    if (std::find(replaced.begin(), replaced.end(), word) == replaced.end()) {
      replaced.push_back(std::move(word));
    }
  }
  if (!replaced.empty()) {
    reasons.push_back({Verdict::kWithStubs, "stays with the host: " + Join(replaced)});
  }
  for (const SupplierView& view : inspection.suppliers) {
    const bool exclusive =
        view.supplier == SupplierClass::kReset || view.supplier == SupplierClass::kPowerDomain ||
        view.supplier == SupplierClass::kRegulator || view.supplier == SupplierClass::kClock;
    if (!exclusive || view.fixed || view.shared_with.empty()) continue;
    std::string text = "the host may change what it shares with others: " + view.property + " " +
                       (view.name.empty() ? view.provider : view.name) + ", with " +
                       Join(view.shared_with);
    // Two outputs of one provider may have no names.
    const bool is_told = std::any_of(reasons.begin(), reasons.end(),
                                     [&](const Reason& reason) { return reason.text == text; });
    if (!is_told) reasons.push_back({Verdict::kWithStubs, std::move(text)});
  }
}

std::vector<std::string> HostFixes(const Inspection& inspection) {
  std::vector<std::string> fixes;
  const LiveFacts live = inspection.live.value_or(LiveFacts{});
  const std::string driver = inspection.amba ? "vfio-amba" : "vfio-platform";
  if (inspection.live && !live.vfio_driver) {
    fixes.push_back("modprobe " + driver + ", or a kernel with " +
                    (inspection.amba ? "CONFIG_VFIO_AMBA" : "CONFIG_VFIO_PLATFORM"));
  }
  if (!inspection.amba && inspection.reset_driver.empty() && live.reset_required.value_or(true)) {
    fixes.emplace_back(
        "on the kernel's command line: vfio-platform.reset_required=0 (Linux has no "
        "reset function for it)");
  }
  if (!BehindIommu(inspection) && !live.no_iommu_mode.value_or(false)) {
    fixes.emplace_back(
        "on the kernel's command line: vfio.enable_unsafe_noiommu_mode=1 (no IOMMU "
        "stands before it; taints the kernel)");
  }
  if (BehindIommu(inspection) && !inspection.dma.isolated_msi &&
      !live.unsafe_interrupts.value_or(false)) {
    fixes.emplace_back(
        inspection.live
            ? "echo 1 > /sys/module/" + live.unsafe_interrupts_module +
                  "/parameters/allow_unsafe_interrupts"
            : "on the kernel's command line: vfio_iommu_type1.allow_unsafe_interrupts=1 "
              "(it has no msi-parent that isolates MSIs)");
  }
  const bool gated = std::any_of(
      inspection.suppliers.begin(), inspection.suppliers.end(), [](const SupplierView& view) {
        return view.property == "clocks" && !view.arguments.empty() && view.shared_with.empty();
      });
  if (gated && !live.bound_to_vfio) {
    fixes.emplace_back(
        "on the kernel's command line: clk_ignore_unused (no other node uses one of its "
        "clocks, which the host may switch off)");
  }
  for (const std::string& holder : live.group_holders) {
    fixes.push_back("in its IOMMU group too, with the host's driver " + holder);
  }
  if (inspection.live && !live.bound_to_vfio) {
    fixes.push_back("microvm device bind " + inspection.device);
  }
  if (!live.not_ready.empty() && live.bound_to_vfio && !live.not_ready_fix.empty()) {
    fixes.push_back(live.not_ready_fix);
  }
  return fixes;
}

}  // namespace

const char* ToString(Verdict verdict) {
  constexpr std::array kWords = {"as is", "with stubs", "needs binding", "refused"};
  return kWords.at(static_cast<std::size_t>(verdict));
}

// The kernel has the last word where it has spoken: a group says whether there is an IOMMU.
bool BehindIommu(const Inspection& inspection) {
  if (inspection.live && inspection.live->iommu_group) return !inspection.live->no_iommu;
  return inspection.dma.behind_iommu();
}

bool HasReachedRegion(const Inspection& inspection) {
  return std::any_of(inspection.regions.begin(), inspection.regions.end(),
                     [](const RegionView& view) { return view.region.cpu_address.has_value(); });
}

void Judge(Inspection& inspection, std::vector<Reason> synthesis) {
  std::vector<Reason>& reasons = inspection.reasons;
  reasons = std::move(synthesis);
  JudgeNode(inspection, reasons);
  JudgeMemory(inspection, reasons);
  JudgeRegions(inspection, reasons);
  JudgeInterrupts(inspection, reasons);
  JudgeDma(inspection, reasons);
  JudgeSuppliers(inspection, reasons);
  if (inspection.live && inspection.live->bound_to_vfio && !inspection.live->not_ready.empty()) {
    reasons.push_back(
        {Verdict::kRefused, inspection.live->not_ready, inspection.live->not_ready_fix});
  }
  std::stable_sort(reasons.begin(), reasons.end(),
                   [](const Reason& a, const Reason& b) { return a.verdict > b.verdict; });
  if (reasons.empty() || reasons.front().verdict == Verdict::kAsIs) {
    reasons.insert(reasons.begin(), {Verdict::kAsIs, "nothing of its node has to be replaced"});
  }
  inspection.verdict = reasons.front().verdict;
  const auto refusals = std::count_if(reasons.begin(), reasons.end(), [](const Reason& reason) {
    return reason.verdict == Verdict::kRefused;
  });
  const bool for_dma_alone = refusals == 1 && DoesFreeDma(inspection);
  if (refusals > 0 && !for_dma_alone) return;
  inspection.host_fixes = HostFixes(inspection);
  if (inspection.has_no_table) return;
  inspection.toml = for_dma_alone ? DmaChoices(inspection) : PlatformTable(inspection);
}

}  // namespace microvm
