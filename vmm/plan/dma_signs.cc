// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/dma_signs.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "vmm/plan/node_traits.h"

namespace microvm {
namespace {

// Properties of the masters of a bus, and of nothing else (Devicetree Specification 0.4, 2.3.9 and
// 2.3.10; bindings/iommu/iommu.txt, reserved-memory/reserved-memory.txt, dma/dma-controller.yaml,
// net/snps,dwmac.yaml).
constexpr std::array<std::string_view, 9> kProperties = {
    "iommus",        "iommu-map",  "dma-coherent",     "dma-noncoherent", "dma-ranges",
    "memory-region", "#dma-cells", "dma-channel-mask", "snps,axi-config"};

// Generic names (Devicetree Specification 0.4, 2.2.2, and bindings) of what is of no use without.
constexpr std::array<std::string_view, 43> kNames = {
    // As the specification has them.
    "ata", "camera", "crypto", "display", "dma-controller", "dsp", "ethernet", "gpu", "ide",
    "iommu", "lcd-controller", "mmc", "nand-controller", "pci", "pcie", "sata", "scsi", "usb",
    "video-codec", "wifi",
    // As trees have them.
    "ahci", "display-controller", "dma", "ehci", "emmc", "etr", "isp", "jpeg", "mac", "npu", "nvme",
    "ohci", "pcie-ep", "remoteproc", "sdhci", "sdio", "sdmmc", "ufs", "ufshc", "video", "vop",
    "vpu", "xhci"};

// Words of `compatible`s that name families of bus masters, without their numbers: "usb" of
// "cdns,usb3". They and the next list are held against every node of Linux's arm64 trees.
constexpr std::array<std::string_view, 136> kMasters = {
    // USB.
    "dwc", "ehci", "musb", "ohci", "uhci", "usb", "xhci", "xudc", "xusb",
    // storage.
    "ahci", "emmc", "mmc", "mshc", "nand", "nvme", "sata", "sd4hc", "sdhc", "sdhci", "sdhi",
    "sdmmc", "ufs", "ufshc", "usdhc",
    // PCI.
    "pci", "pcie",
    // networks.
    "bman", "cpsw", "dwmac", "emac", "enet", "eqos", "eth", "ethernet", "fec", "fman", "gem",
    "genet", "gmac", "ipa", "mac", "macb", "memac", "mgbe", "qman", "wifi", "xgmac",
    // pictures and what shows them.
    "adreno", "cru", "csi", "dc", "dcss", "decon", "deinterlace", "display", "dpu", "dss", "du",
    "dw100", "fcp", "fcpv", "fcpvb", "fcpvd", "fdp", "fimd", "g2d", "gpu", "hvs", "ipu", "isi",
    "isp", "jpeg", "jpgdec", "jpgenc", "lcdc", "lcdif", "mali", "mdp", "mdss", "mfc", "mixer",
    "npu", "nvdec", "nvenc", "nvjpg", "ovl", "pxp", "rdma", "rga", "rotate", "vcodec", "vdec",
    "venc", "venus", "vi", "vin", "vop", "vpu", "vsp", "wdma",
    // cryptography.
    "caam", "crypto", "cryptocell", "safexcel", "sec", "slimsss", "sss", "tsec",
    // DMA engines.
    "adma", "bam", "dma", "dmac", "edma", "pl080", "pl330", "qdma", "sdma", "udma", "udmap", "xor",
    // IOMMUs.
    "iommu", "ipmmu", "m4u", "mmu", "smmu", "sysmmu",
    // processors of their own.
    "dsp", "pru", "r5f", "rproc", "rtu", "scp",
    // sound.
    "aiu", "frddr", "hda", "toddr"};

// Words of what stands beside a bus master and has its name in its own ("fsl,imx8mp-usb-phy"), and
// of what moves data through its registers or by a DMA controller.
constexpr std::array<std::string_view, 42> kOthers = {
    "adc",       "anoc",      "blk",          "can",     "clk",     "clock",    "cmu",
    "connector", "efuse",     "femtophy",     "glue",    "gpio",    "grf",      "hsphy",
    "hub",       "i2c",       "interconnect", "mailbox", "mdio",    "mon",      "muram",
    "noc",       "padctl",    "panel",        "phy",     "pinctrl", "pool",     "ptp",
    "pwm",       "regulator", "reset",        "rng",     "rtc",     "serial",   "shmem",
    "spi",       "syscon",    "thermal",      "timer",   "uart",    "watchdog", "wdt"};

bool IsOneOf(const auto& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// Whether a word of `text` is in a list, as it stands or without the number at its end.
bool HasWordOf(const auto& list, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("-_.,"), text.size());
    const std::string_view word = text.substr(0, end);
    const std::string_view stem = word.substr(0, word.find_last_not_of("0123456789") + 1);
    if (IsOneOf(list, word) || IsOneOf(list, stem)) return true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

std::string_view WithoutVendor(std::string_view compatible) {
  const std::size_t comma = compatible.find(',');
  return comma == std::string_view::npos ? compatible : compatible.substr(comma + 1);
}

bool IsAnother(const DtNode& node) {
  const std::vector<std::string> list = node.Strings("compatible");
  return HasWordOf(kOthers, BaseName(node)) ||
         std::any_of(list.begin(), list.end(), [](const std::string& compatible) {
           return HasWordOf(kOthers, WithoutVendor(compatible));
         });
}

// The entry of a node's `compatible` that names a family of bus masters; "" if none does.
std::string MasterOf(const DtNode& node) {
  if (IsAnother(node)) return "";
  for (const std::string& compatible : node.Strings("compatible")) {
    if (HasWordOf(kMasters, WithoutVendor(compatible))) return compatible;
  }
  return "";
}

bool IsPartOfMaster(const DtNode& node) {
  const std::optional<DtNode> whole = node.parent();
  return whole && !IsAnother(node) &&
         (IsOneOf(kNames, BaseName(*whole)) || !MasterOf(*whole).empty());
}

}  // namespace

std::vector<std::string> SignsOfDma(const DtNode& node) {
  std::vector<std::string> signs;
  for (const std::string_view name : kProperties) {
    if (node.Property(name)) signs.emplace_back(name);
  }
  if (IsOneOf(kNames, BaseName(node))) signs.push_back("its name, " + std::string(node.name()));
  if (std::string master = MasterOf(node); !master.empty()) {
    signs.push_back("its compatible, " + master);
  }
  if (signs.empty() && IsPartOfMaster(node)) {
    signs.push_back("what it is part of, " + node.parent()->path());
  }
  return signs;
}

}  // namespace microvm
