// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/dma.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "vmm/plan/dma_signs.h"
#include "vmm/plan/node_traits.h"

namespace microvm {
namespace {

// When a driver reports IOMMU_CAP_CACHE_COHERENCY (drivers/iommu of Linux 6.12: `.capable`).
enum class Coherency {
  kAlways,
  kCoherentWalk,          // its table walks are coherent
  kCoherentWalkOrDevice,  // that, or the device is
  kNever,                 // it never says
};

struct IommuDriver {
  std::string_view compatible;
  std::string_view driver;
  Coherency coherency;
};

// In the order of the drivers' own preference; a prefix stands for the chips of a family.
constexpr std::array kExact = {
    IommuDriver{"arm,smmu-v3", "arm-smmu-v3", Coherency::kCoherentWalk},
    IommuDriver{"virtio,mmio", "virtio_iommu", Coherency::kAlways},
    IommuDriver{"arm,smmu-v1", "arm-smmu", Coherency::kCoherentWalkOrDevice},
    IommuDriver{"arm,smmu-v2", "arm-smmu", Coherency::kCoherentWalkOrDevice},
    IommuDriver{"arm,mmu-400", "arm-smmu", Coherency::kCoherentWalkOrDevice},
    IommuDriver{"arm,mmu-401", "arm-smmu", Coherency::kCoherentWalkOrDevice},
    IommuDriver{"arm,mmu-500", "arm-smmu", Coherency::kCoherentWalkOrDevice},
    IommuDriver{"cavium,smmu-v2", "arm-smmu", Coherency::kCoherentWalkOrDevice},
    IommuDriver{"nvidia,smmu-500", "arm-smmu", Coherency::kCoherentWalkOrDevice},
    IommuDriver{"qcom,smmu-v2", "arm-smmu", Coherency::kCoherentWalkOrDevice},
    IommuDriver{"allwinner,sun50i-h6-iommu", "sun50i-iommu", Coherency::kNever},
    IommuDriver{"allwinner,sun50i-h616-iommu", "sun50i-iommu", Coherency::kNever},
    IommuDriver{"samsung,exynos-sysmmu", "exynos-sysmmu", Coherency::kNever},
    IommuDriver{"renesas,rcar-gen4-ipmmu-vmsa", "ipmmu-vmsa", Coherency::kNever},
    IommuDriver{"sprd,iommu-v1", "sprd-iommu", Coherency::kNever},
};
constexpr std::array kFamilies = {
    IommuDriver{"qcom,msm-iommu-v", "qcom-iommu", Coherency::kAlways},
    IommuDriver{"renesas,ipmmu-", "ipmmu-vmsa", Coherency::kNever},
    IommuDriver{"rockchip,", "rk_iommu", Coherency::kNever},
    IommuDriver{"mediatek,", "mtk-iommu", Coherency::kNever},
    IommuDriver{"apple,", "apple-dart", Coherency::kNever},
    IommuDriver{"ti,", "omap-iommu", Coherency::kNever},
    IommuDriver{"nvidia,tegra", "tegra-smmu", Coherency::kNever},
};

std::optional<IommuDriver> DriverOf(const DtNode& iommu) {
  const std::vector<std::string> list = iommu.Strings("compatible");
  for (const IommuDriver& entry : kExact) {
    if (std::find(list.begin(), list.end(), entry.compatible) != list.end()) return entry;
  }
  for (const IommuDriver& entry : kFamilies) {
    for (const std::string& compatible : list) {
      if (compatible.starts_with(entry.compatible)) return entry;
    }
  }
  return std::nullopt;
}

bool IsCoherent(const DeviceTree& tree, const DtNode& node) {
  const std::optional<DmaCoherence> coherence = FindDmaCoherence(tree, node);
  return coherence && coherence->coherent;
}

IommuFacts ReadIommu(const DeviceTree& tree, const DtNode& device, const Reference& reference) {
  IommuFacts facts{reference.target.path(), reference.arguments, {}, false, {}};
  const auto driver = DriverOf(reference.target);
  if (!driver) {
    facts.why = "no driver of Linux that VFIO could use is known for it";
    return facts;
  }
  facts.driver = driver->driver;
  const bool coherent_walk = IsCoherent(tree, reference.target);
  switch (driver->coherency) {
    case Coherency::kAlways:
      facts.accepted = true;
      facts.why = "the driver always says that DMA is coherent with the CPU's caches";
      break;
    case Coherency::kNever:
      facts.why =
          "the driver does not say that DMA is coherent with the CPU's caches "
          "(IOMMU_CAP_CACHE_COHERENCY), which VFIO insists on";
      break;
    case Coherency::kCoherentWalk:
      facts.accepted = coherent_walk;
      facts.why = coherent_walk ? "its table walks are coherent (dma-coherent)"
                                : "its node has no dma-coherent, which VFIO insists on";
      break;
    case Coherency::kCoherentWalkOrDevice:
      facts.accepted = coherent_walk || IsCoherent(tree, device);
      facts.why = coherent_walk    ? "its table walks are coherent (dma-coherent)"
                  : facts.accepted ? "the device is coherent (dma-coherent)"
                                   : "neither its node nor the device's has dma-coherent, one of "
                                     "which VFIO insists on";
      break;
  }
  return facts;
}

}  // namespace

bool DmaFacts::moves_addresses() const {
  return std::any_of(windows.begin(), windows.end(), [](const DmaWindow& window) {
    return window.bus_address != window.cpu_address;
  });
}

DmaFacts ReadDma(const HostIndex& index, const NodeFacts& device) {
  DmaFacts facts;
  for (const Reference& reference : device.references) {
    const bool available = index.IsEnabled(reference.target);
    if (reference.property == "iommus" && available) {
      facts.iommus.push_back(ReadIommu(index.tree(), device.node, reference));
    }
    if (reference.property == "msi-parent") {
      facts.isolated_msi = available && reference.target.IsCompatible("arm,gic-v3-its");
    }
  }
  facts.signs = SignsOfDma(device.node);
  facts.windows = ReadDmaWindows(index.tree(), device.node);
  facts.coherent = IsCoherent(index.tree(), device.node);
  return facts;
}

std::string ResetDriver(const DtNode& node) {
  struct Reset {
    std::string_view compatible;
    std::string_view module;
  };
  constexpr std::array kResets = {Reset{"calxeda,hb-xgmac", "vfio-platform-calxedaxgmac"},
                                  Reset{"amd,xgbe-seattle-v1a", "vfio-platform-amdxgbe"},
                                  Reset{"brcm,iproc-flexrm-mbox", "vfio-platform-bcmflexrm"}};
  const std::vector<std::string> list = node.Strings("compatible");
  for (const Reset& reset : kResets) {
    if (!list.empty() && list.front() == reset.compatible) return std::string(reset.module);
  }
  return {};
}

}  // namespace microvm
