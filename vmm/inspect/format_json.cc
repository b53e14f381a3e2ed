// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>

#include "vmm/inspect/format.h"

namespace microvm {
namespace {

std::string Quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (byte < ' ' || byte > '~') {
      // Trees hold no text but ASCII; a byte that is none is shown as the character of that number.
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04x", byte);
      result += escape.data();
    } else {
      result += c;
    }
  }
  return result + '"';
}

// An object that is being written; what a key holds is JSON already.
class Object {
 public:
  Object& Raw(const char* key, const std::string& json) {
    json_ += (json_.empty() ? "{" : ",") + Quoted(key) + ":" + json;
    return *this;
  }
  Object& Text(const char* key, const std::string& text) { return Raw(key, Quoted(text)); }
  Object& Flag(const char* key, bool flag) { return Raw(key, flag ? "true" : "false"); }
  Object& Number(const char* key, std::uint64_t number) { return Raw(key, std::to_string(number)); }
  template <typename T>
  Object& MaybeNumber(const char* key, const std::optional<T>& number) {
    return Raw(key, number ? std::to_string(*number) : "null");
  }
  Object& MaybeFlag(const char* key, const std::optional<bool>& flag) {
    return Raw(key, !flag ? "null" : *flag ? "true" : "false");
  }
  [[nodiscard]] std::string Finish() const { return json_.empty() ? "{}" : json_ + "}"; }

 private:
  std::string json_;
};

template <typename List, typename Format>
std::string Array(const List& list, Format&& format) {
  std::string json;
  for (const auto& item : list) json += (json.empty() ? "[" : ",") + format(item);
  return json.empty() ? "[]" : json + "]";
}

std::string Texts(const std::vector<std::string>& list) { return Array(list, Quoted); }

std::string Cells(const std::vector<std::uint32_t>& list) {
  return Array(list, [](std::uint32_t cell) { return std::to_string(cell); });
}

std::string RegionJson(const RegionView& view) {
  return Object()
      .Text("name", view.name)
      .Number("bus_address", view.region.bus_address)
      .MaybeNumber("address", view.region.cpu_address)
      .Number("size_bytes", view.region.size_bytes)
      .Flag("mappable", view.region.IsPageAligned())
      .Raw("page_shared_with", Texts(view.page_sharers))
      .Raw("registers_shared_with", Texts(view.owners))
      .Finish();
}

std::string InterruptJson(const InterruptView& view) {
  const InterruptLine& line = view.line;
  const char* trigger = !line.trigger                      ? "null"
                        : *line.trigger == Trigger::kLevel ? "\"level\""
                                                           : "\"edge\"";
  return Object()
      .Text("name", view.name)
      .Text("controller", line.controller)
      .Raw("specifier", Cells(line.specifier))
      .Text("kind", line.kind)
      .MaybeNumber("intid", line.intid)
      .Raw("trigger", trigger)
      .Flag("duplicate", view.duplicate)
      .Raw("shared_with", Texts(view.shared_with))
      .Finish();
}

std::string DmaJson(const DmaFacts& dma) {
  const auto iommu = [](const IommuFacts& facts) {
    return Object()
        .Text("node", facts.path)
        .Raw("specifier", Cells(facts.specifier))
        .Text("driver", facts.driver)
        .Flag("accepted", facts.accepted)
        .Text("why", facts.why)
        .Finish();
  };
  const auto window = [](const DmaWindow& facts) {
    return Object()
        .Number("bus_address", facts.bus_address)
        .Number("address", facts.cpu_address)
        .Number("size_bytes", facts.size_bytes)
        .Finish();
  };
  return Object()
      .Raw("iommus", Array(dma.iommus, iommu))
      .Raw("signs", Texts(dma.signs))
      .Flag("coherent", dma.coherent)
      .Flag("isolated_msi", dma.isolated_msi)
      .Raw("windows", Array(dma.windows, window))
      .Finish();
}

std::string SupplierJson(const SupplierView& view) {
  return Object()
      .Text("class", ToString(view.supplier))
      .Text("property", view.property)
      .Text("name", view.name)
      .Text("provider", view.provider)
      .Raw("arguments", Cells(view.arguments))
      .MaybeNumber("rate_hz", view.rate_hz)
      .Raw("shared_with", Texts(view.shared_with))
      .Finish();
}

std::string LiveJson(const LiveFacts& live) {
  return Object()
      .Text("driver", live.driver)
      .Flag("bound_to_vfio", live.bound_to_vfio)
      .MaybeNumber("iommu_group", live.iommu_group)
      .Flag("no_iommu", live.no_iommu)
      .Raw("group_members", Texts(live.group_members))
      .Flag("vfio_driver", live.vfio_driver)
      .MaybeFlag("no_iommu_mode", live.no_iommu_mode)
      .MaybeFlag("allow_unsafe_interrupts", live.unsafe_interrupts)
      .MaybeFlag("reset_required", live.reset_required)
      .Flag("ready", live.not_ready.empty())
      .Text("not_ready", live.not_ready)
      .Text("in_use", live.in_use)
      .Finish();
}

}  // namespace

std::string FormatJson(const Inspection& inspection) {
  const auto reason = [](const Reason& entry) {
    return Object()
        .Text("verdict", ToString(entry.verdict))
        .Text("text", entry.text)
        .Text("fix", entry.fix)
        .Finish();
  };
  const auto user = [](const HostUser& entry) {
    return Object().Text("node", entry.path).Text("property", entry.property).Finish();
  };
  return Object()
      .Text("device", inspection.device)
      .Text("node", inspection.node)
      .Raw("compatible", Texts(inspection.compatible))
      .Flag("enabled", inspection.enabled)
      .Flag("amba", inspection.amba)
      .Text("verdict", ToString(inspection.verdict))
      .Raw("reasons", Array(inspection.reasons, reason))
      .Raw("host_needs", Texts(inspection.host_fixes))
      .Text("toml", inspection.toml)
      .Raw("regions", Array(inspection.regions, RegionJson))
      .Raw("interrupts", Array(inspection.interrupts, InterruptJson))
      .Raw("dma", DmaJson(inspection.dma))
      .Raw("suppliers", Array(inspection.suppliers, SupplierJson))
      .Raw("needed_by", Array(inspection.users, user))
      .Text("reset_driver", inspection.reset_driver)
      .Raw("left_out", Texts(inspection.left_out))
      .Raw("live", inspection.live ? LiveJson(*inspection.live) : "null")
      .Finish();
}

}  // namespace microvm
