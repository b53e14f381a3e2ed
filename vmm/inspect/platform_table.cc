// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/platform_table.h"

#include "vmm/config/toml_key.h"
#include "vmm/inspect/inspect.h"
#include "vmm/plan/obstacle.h"

namespace microvm {
namespace {

constexpr const char* kDropNote =
    "# What the guest's driver then has to do without; the reasons say what else would help.\n";
constexpr const char* kNoDmaNote =
    "## Refused for its DMA alone. Whoever knows better takes the \"# \" from a table:\n"
    "## It is known to do no DMA.\n";
constexpr const char* kIdentityNote =
    "## DANGEROUS: the guest may have it write anywhere in the host's memory. For a guest that is\n"
    "## trusted as the host's kernel is. Needs huge pages: hugepages=64 on the kernel's command "
    "line.\n";
constexpr const char* kIdentityMemory =
    "[memory]\nsize = \"128M\"\nidentity_file = \"/dev/hugepages/guest\"\n";
constexpr const char* kRecipeNote =
    "## How it is brought to rest, which its manual says: its DMA off.\n";
constexpr const char* kRecipe = "[[platform.recipe]]\nwrite = VALUE\noffset = OFFSET\n";

std::string Table(const Inspection& inspection, DmaMode dma) {
  return "[[platform]]\nhost = \"" + inspection.device + "\"\ndma = \"" +
         std::string(ToString(dma)) + "\"\n";
}

// The keys that any table of the device has.
std::string Keys(const Inspection& inspection) {
  std::string keys;
  std::string rates;
  for (const auto& [name, hz] : inspection.driver_rates) {
    rates.append(rates.empty() ? "" : ", ")
        .append(TomlKey(name))
        .append(" = ")
        .append(std::to_string(hz));
  }
  for (const std::string& name : inspection.unknown_rates) {
    rates.append(rates.empty() ? "" : ", ").append(TomlKey(name)).append(" = Hz");
  }
  if (!inspection.unknown_rates.empty()) keys += "# ";
  if (!rates.empty()) keys += "clocks = { " + rates + " }\n";
  if (!inspection.drop.empty()) keys += kDropNote + DropLine(inspection.drop) + "\n";
  return keys;
}

std::string AsComment(const std::string& text) {
  std::string out;
  bool at_start = true;
  for (const char c : text) {
    if (at_start) out += "# ";
    out += c;
    at_start = c == '\n';
  }
  return out;
}

}  // namespace

std::string PlatformTable(const Inspection& inspection) {
  const DmaMode dma = BehindIommu(inspection) ? DmaMode::kIommu : DmaMode::kNone;
  return Table(inspection, dma) + Keys(inspection);
}

std::string DmaChoices(const Inspection& inspection) {
  const std::string keys = Keys(inspection);
  std::string choices = kNoDmaNote + AsComment(Table(inspection, DmaMode::kNone) +
                                               "ignore_dma_signs = true\n" + keys);
  if (inspection.dma.moves_addresses()) return choices;
  choices +=
      kIdentityNote + AsComment(kIdentityMemory + Table(inspection, DmaMode::kIdentity) + keys);
  if (inspection.reset_driver.empty()) choices += kRecipeNote + AsComment(kRecipe);
  return choices;
}

}  // namespace microvm
