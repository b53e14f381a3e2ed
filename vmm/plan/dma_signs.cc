// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/dma_signs.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace microvm {
namespace {

// Properties of the masters of a bus, and of nothing else (Devicetree Specification 0.4, 2.3.9 and
// 2.3.10; bindings/iommu/iommu.txt, reserved-memory/reserved-memory.txt, dma/dma-controller.yaml,
// net/snps,dwmac.yaml).
constexpr std::array<std::string_view, 9> kProperties = {
    "iommus",        "iommu-map",  "dma-coherent",     "dma-noncoherent", "dma-ranges",
    "memory-region", "#dma-cells", "dma-channel-mask", "snps,axi-config"};

// Generic names (Devicetree Specification 0.4, 2.2.2, and bindings) of what is of no use without.
constexpr std::array<std::string_view, 24> kNames = {"camera",      "crypto",
                                                     "display",     "display-controller",
                                                     "dma",         "dma-controller",
                                                     "ethernet",    "gpu",
                                                     "isp",         "jpeg",
                                                     "mmc",         "nand-controller",
                                                     "npu",         "nvme",
                                                     "pci",         "pcie",
                                                     "remoteproc",  "sata",
                                                     "sdhci",       "ufs",
                                                     "ufshc",       "usb",
                                                     "video-codec", "vpu"};

}  // namespace

std::vector<std::string> SignsOfDma(const DtNode& node) {
  std::vector<std::string> signs;
  for (const std::string_view name : kProperties) {
    if (node.Property(name)) signs.emplace_back(name);
  }
  const std::string_view name = node.name();
  const std::string_view generic = name.substr(0, name.find('@'));
  if (std::find(kNames.begin(), kNames.end(), generic) != kNames.end()) {
    signs.push_back("its name, " + std::string(name));
  }
  return signs;
}

}  // namespace microvm
