// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/interrupt_placement.h"

#include <cerrno>
#include <set>

#include "vmm/host/error.h"
#include "vmm/plan/host_interrupts.h"
#include "vmm/plan/property_rules.h"

namespace microvm {
namespace {

std::vector<InterruptLine> InterruptsOf(const DeviceFacts& facts) {
  const auto node = facts.tree->Find(facts.node_path);
  return node ? HostInterrupts(*facts.tree, *node) : std::vector<InterruptLine>();
}

void CheckLine(const DeviceFacts& facts, const InterruptLine* host, std::uint32_t index) {
  const InterruptFacts& interrupt = facts.interrupts[index];
  if (interrupt.line_error == 0) return;
  if (host != nullptr && (host->kind == "PPI" || host->kind == "EPPI")) {
    throw Error("'" + facts.config.host + "': interrupt " + std::to_string(index) +
                " belongs to each CPU (PPI): VFIO cannot take it");
  }
  const std::string what =
      "'" + facts.config.host + "': interrupt " + std::to_string(index) + " is taken: ";
  const std::string drop =
      ", or, if the guest's driver can do without this interrupt, add to the [[platform]] table of "
      "'" +
      facts.config.host + "':\ndrop = [\"interrupts:" + std::to_string(index) + "\"]";
  if (interrupt.line_error == EINVAL) {
    // A chained handler makes a line IRQ_NOREQUEST, and it stays so (kernel/irq/chip.c:
    // __irq_do_set_handler).
    throw Error(what +
                    "a driver of the host has it, or had it, as an interrupt controller's or "
                    "GPIO controller's own",
                "such a line is not given back: boot the host so that this driver never binds to "
                "the device" +
                    drop);
  }
  throw Error(what + "its line has another user on the host: " +
                  (interrupt.users.empty() ? "see /proc/interrupts" : interrupt.users),
              "a line cannot be shared with a guest: unbind the host's other user of it from its "
              "driver" +
                  drop);
}

}  // namespace

void SpiAllocator::Reserve(const std::string& owner, std::uint32_t spi) {
  if (spi >= maximum_) {
    throw Error("SPI " + std::to_string(spi) + " of " + owner + ": a guest's GIC has " +
                std::to_string(maximum_) + " SPIs, from 0");
  }
  if (const auto [taken, is_new] = owners_.try_emplace(spi, owner); !is_new) {
    throw Error("SPI " + std::to_string(spi) + " of " + owner + " is " + taken->second + "'s");
  }
}

Spi SpiAllocator::Next(const std::string& owner) {
  while (!owners_.try_emplace(next_, owner).second) ++next_;
  return Spi{next_++};
}

KeptInterrupts FindKeptInterrupts(const DeviceFacts& facts) {
  const std::vector<std::uint32_t> first =
      FirstOfEachLine(InterruptsOf(facts), facts.interrupts.size());
  KeptInterrupts kept{KeptEntries(facts, "interrupts", facts.interrupts.size()), 0};
  for (std::uint32_t& index : kept.indexes) index = first[index];
  kept.line_count = std::set<std::uint32_t>(kept.indexes.begin(), kept.indexes.end()).size();
  return kept;
}

std::vector<PlannedInterrupt> PlanInterrupts(const DeviceFacts& facts, const KeptInterrupts& kept,
                                             SpiAllocator& spis) {
  const std::vector<InterruptLine> host = InterruptsOf(facts);
  const std::vector<std::uint32_t>& wanted = facts.config.spis;
  std::map<std::uint32_t, Spi> lines;
  std::vector<PlannedInterrupt> planned;
  for (const std::uint32_t index : kept.indexes) {
    const Trigger trigger = facts.interrupts[index].automasked ? Trigger::kLevel : Trigger::kEdge;
    PlannedInterrupt interrupt{Spi{}, trigger, index};
    if (index < host.size()) interrupt.host_intid = host[index].intid;
    if (const auto earlier = lines.find(index); earlier != lines.end()) {
      interrupt.spi = earlier->second;
      interrupt.repeats = true;
    } else {
      CheckLine(facts, index < host.size() ? &host[index] : nullptr, index);
      const std::size_t at = lines.size();
      interrupt.spi = at < wanted.size() ? Spi{wanted[at]} : spis.Next(facts.config.host);
      lines.emplace(index, interrupt.spi);
    }
    planned.push_back(interrupt);
  }
  return planned;
}

}  // namespace microvm
