// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/references.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "vmm/host/error.h"

namespace microvm {
namespace {

// How a property's cells are laid out.
enum class Shape {
  kList,     // entries of a phandle and as many cells as the target's `cells` says
  kFixed,    // entries of a phandle and `count` cells
  kLeading,  // one phandle; the rest belongs to it
  kMap,      // entries of `count` cells, the second of which is a phandle (iommu-map, msi-map)
};

enum class Match { kName, kPrefix, kSuffix };

struct Rule {
  std::string_view name;
  SupplierClass supplier;
  Shape shape = Shape::kLeading;
  std::string_view cells = {};
  std::size_t count = 0;
  Match match = Match::kName;
};

constexpr Rule List(std::string_view name, SupplierClass supplier, std::string_view cells) {
  return {name, supplier, Shape::kList, cells};
}
constexpr Rule Fixed(std::string_view name, SupplierClass supplier, std::size_t count) {
  return {name, supplier, Shape::kFixed, {}, count};
}
constexpr Rule Leading(std::string_view name, SupplierClass supplier) { return {name, supplier}; }
constexpr Rule Map(std::string_view name, SupplierClass supplier) {
  return {name, supplier, Shape::kMap, {}, 4};
}
constexpr Rule As(Match match, Rule rule) {
  rule.match = match;
  return rule;
}

using enum SupplierClass;

// The first rule that matches counts.
constexpr std::array kRules = {
    // Common bindings.
    List("clocks", kClock, "#clock-cells"),
    List("assigned-clocks", kClock, "#clock-cells"),
    List("assigned-clock-parents", kClock, "#clock-cells"),
    List("resets", kReset, "#reset-cells"),
    List("power-domains", kPowerDomain, "#power-domain-cells"),
    List("performance-domains", kPowerDomain, "#performance-domain-cells"),
    Fixed("operating-points-v2", kPowerDomain, 0),
    Fixed("required-opps", kPowerDomain, 0),
    Fixed("domain-idle-states", kPowerDomain, 0),
    Fixed("cpu-idle-states", kPowerDomain, 0),
    As(Match::kPrefix, Fixed("pinctrl-", kPinctrl, 0)),
    Fixed("gpio-ranges", kPinctrl, 3),
    List("iommus", kIommu, "#iommu-cells"),
    Map("iommu-map", kIommu),
    List("interconnects", kInterconnect, "#interconnect-cells"),
    List("phys", kPhy, "#phy-cells"),
    Fixed("usb-phy", kPhy, 0),
    Fixed("phy-handle", kEthernetPhy, 0),
    Fixed("phy", kEthernetPhy, 0),
    Fixed("phy-device", kEthernetPhy, 0),
    Fixed("pcs-handle", kEthernetPhy, 0),
    Fixed("pcsphy-handle", kEthernetPhy, 0),
    Fixed("sfp", kEthernetPhy, 0),
    Fixed("mdio-parent-bus", kEthernetPhy, 0),
    Fixed("mdio-handle", kEthernetPhy, 0),
    List("gpios", kGpio, "#gpio-cells"),
    List("gpio", kGpio, "#gpio-cells"),
    Fixed("power-supplies", kRegulator, 0),
    List("dmas", kDmaChannel, "#dma-cells"),
    List("mboxes", kMailbox, "#mbox-cells"),
    Fixed("shmem", kMemoryRegion, 0),
    List("cooling-device", kThermal, "#cooling-cells"),
    List("thermal-sensors", kThermal, "#thermal-sensor-cells"),
    Fixed("trip", kThermal, 0),
    List("nvmem-cells", kNvmem, "#nvmem-cell-cells"),
    Fixed("nvmem", kNvmem, 0),
    Fixed("memory-region", kMemoryRegion, 0),
    Fixed("sram", kMemoryRegion, 0),
    Leading("syscon", kSyscon),
    Leading("regmap", kSyscon),
    List("msi-parent", kInterrupt, "#msi-cells"),
    Map("msi-map", kInterrupt),
    Fixed("wakeup-parent", kInterrupt, 0),
    Fixed("interrupt-affinity", kOther, 0),
    List("io-channels", kOther, "#io-channel-cells"),
    List("io-backends", kOther, "#io-backend-cells"),
    List("hwlocks", kOther, "#hwlock-cells"),
    List("pwms", kOther, "#pwm-cells"),
    List("pses", kOther, "#pse-cells"),
    List("mux-controls", kOther, "#mux-control-cells"),
    List("mux-states", kOther, "#mux-state-cells"),
    List("sound-dai", kOther, "#sound-dai-cells"),
    List("trigger-sources", kOther, "#trigger-source-cells"),
    List("access-controllers", kOther, "#access-controller-cells"),
    Fixed("nand-ecc-engine", kOther, 0),
    Fixed("extcon", kOther, 0),
    Fixed("leds", kOther, 0),
    Fixed("backlight", kOther, 0),
    Fixed("panel", kOther, 0),
    Fixed("remote-endpoint", kOther, 0),
    Fixed("ports", kOther, 0),
    Fixed("companion", kOther, 0),
    Fixed("ddc-i2c-bus", kOther, 0),
    Fixed("i2c-parent", kOther, 0),
    Fixed("i2c-bus", kOther, 0),
    Fixed("mmc-pwrseq", kOther, 0),
    Fixed("monitored-battery", kOther, 0),
    Fixed("hdmi-phandle", kOther, 0),
    Fixed("audio-aux-devs", kOther, 0),
    Fixed("ethernet", kOther, 0),
    Fixed("memory-controllers", kOther, 0),
    Fixed("cpu", kOther, 0),
    Fixed("cpus", kOther, 0),
    Fixed("next-level-cache", kOther, 0),

    // Vendors' properties of Linux's bindings.
    Fixed("snps,axi-config", kOther, 0),
    Fixed("snps,mtl-rx-config", kOther, 0),
    Fixed("snps,mtl-tx-config", kOther, 0),
    List("qcom,smem-states", kOther, "#qcom,smem-state-cells"),
    Fixed("qcom,freq-domain", kPowerDomain, 1),
    Fixed("qcom,bcm-voters", kInterconnect, 0),
    Leading("qcom,qmp", kMailbox),
    Leading("qcom,rpm-msg-ram", kMailbox),
    Leading("qcom,halt-regs", kSyscon),
    Leading("qcom,tcsr-reg", kSyscon),
    Leading("qcom,dload-mode", kSyscon),
    Leading("qcom,spare-regs", kSyscon),
    Leading("qcom,4ln-config-sel", kSyscon),
    Leading("qcom,saw", kSyscon),
    Leading("qcom,acc", kSyscon),
    Leading("qcom,gmu", kOther),
    Leading("qcom,ice", kOther),
    Leading("qcom,tx-device", kOther),
    Leading("qcom,rx-device", kOther),
    Leading("renesas,ipmmu-main", kIommu),
    Fixed("renesas,fcp", kOther, 0),
    Fixed("renesas,bonding", kOther, 0),
    Fixed("renesas,companion", kOther, 0),
    Fixed("renesas,cmms", kOther, 0),
    Fixed("renesas,vsps", kOther, 1),
    Leading("ti,sci", kMailbox),
    Leading("ti,ringacc", kDmaChannel),
    Fixed("ti,prus", kOther, 0),
    Fixed("ti,iep", kOther, 0),
    Leading("ti,mii-rt", kSyscon),
    Leading("ti,mii-g-rt", kSyscon),
    As(Match::kPrefix, Leading("ti,syscon-", kSyscon)),
    Leading("mediatek,smi", kIommu),
    Fixed("mediatek,larb", kIommu, 0),
    Fixed("mediatek,larbs", kIommu, 0),
    Fixed("mediatek,gce-client-reg", kMailbox, 3),
    Leading("mediatek,infracfg", kSyscon),
    Leading("mediatek,pericfg", kSyscon),
    Leading("mediatek,topckgen", kSyscon),
    Leading("mediatek,apmixedsys", kSyscon),
    Leading("mediatek,ethsys", kSyscon),
    Leading("mediatek,vdecsys", kSyscon),
    Leading("mediatek,pctl-regmap", kSyscon),
    As(Match::kPrefix, Leading("mediatek,syscon-", kSyscon)),
    Leading("mediatek,cci", kInterconnect),
    Leading("mediatek,scp", kMailbox),
    Leading("mediatek,vpu", kOther),
    Fixed("mediatek,wed", kOther, 0),
    Leading("mediatek,platform", kOther),
    Leading("mediatek,auxadc", kOther),
    Leading("rockchip,pmu", kSyscon),
    Leading("samsung,sysreg", kSyscon),
    Leading("hisi,rst-syscon", kSyscon),
    Leading("nvidia,bpmp", kMailbox),
    Leading("nvidia,memory-controller", kInterconnect),
    Leading("nvidia,xusb-padctl", kPhy),
    Leading("nvidia,phy", kPhy),
    Leading("nvidia,dpaux", kOther),
    Leading("nvidia,pmc", kSyscon),
    Leading("nvidia,apbmisc", kSyscon),
    Leading("nvidia,ddc-i2c-bus", kOther),
    Fixed("nvidia,outputs", kOther, 0),
    Leading("nvidia,axi2apb", kOther),
    Leading("fsl,usbmisc", kSyscon),
    Leading("fsl,usbphy", kPhy),
    Leading("fsl,stop-mode", kSyscon),
    Leading("fsl,pcie-scfg", kSyscon),
    Leading("fsl,rcpm-wakeup", kPowerDomain),
    Leading("fsl,blk-ctrl", kSyscon),
    Leading("fsl,mipi-phy-gpr", kSyscon),
    Fixed("fsl,fman-ports", kOther, 0),
    Leading("fsl,iommu-parent", kIommu),
    Leading("fsl,tbi-handle", kEthernetPhy),
    Fixed("calxeda,port-phys", kPhy, 1),
    List("calxeda,sgpio-gpio", kGpio, "#gpio-cells"),
    Leading("amlogic,ao-sysctrl", kSyscon),
    Leading("amlogic,ao-secure", kSyscon),
    Leading("amlogic,canvas", kOther),
    Leading("allwinner,sram", kMemoryRegion),
    Leading("altr,ecc-parent", kOther),
    Leading("st,syscfg", kSyscon),
    Leading("marvell,system-controller", kSyscon),
    Leading("marvell,usb-misc-reg", kSyscon),
    Leading("socionext,syscon-phy-mode", kSyscon),
    Leading("socionext,syscon-uhs-mode", kSyscon),
    Fixed("arm,cs-dev-assoc", kOther, 0),
    Leading("apple,sart", kIommu),
    Leading("xlnx,mdio", kEthernetPhy),
    Leading("xlnx,vcu-settings", kSyscon),

    // By the end of the name. A number of GPIOs is none (drivers/of/property.c: parse_gpios).
    As(Match::kSuffix, List("-gpios", kGpio, "#gpio-cells")),
    As(Match::kSuffix, List("-gpio", kGpio, "#gpio-cells")),
    As(Match::kSuffix, Fixed("-supply", kRegulator, 0)),
    As(Match::kSuffix, Leading("syscon", kSyscon)),
    As(Match::kSuffix, Leading("syscon-phandle", kSyscon)),
    As(Match::kSuffix, Leading("-grf", kSyscon)),
    As(Match::kSuffix, Leading(",grf", kSyscon)),
    As(Match::kSuffix, Leading("-sysreg", kSyscon)),
    As(Match::kSuffix, Leading("-handle", kOther)),
    As(Match::kSuffix, Leading("-phandle", kOther)),
};

bool Matches(const Rule& rule, std::string_view name) {
  switch (rule.match) {
    case Match::kName:
      return name == rule.name;
    case Match::kPrefix:
      return name.starts_with(rule.name);
    case Match::kSuffix:
      return name.ends_with(rule.name);
  }
  return false;
}

const Rule* FindRule(const DtNode& node, std::string_view name) {
  if (name == "pinctrl-names" || name.ends_with(",nr-gpios")) return nullptr;
  // A hog's GPIOs are its parent's (drivers/of/property.c: parse_gpio_compat).
  if (name == "gpios" && node.Property("gpio-hog")) return nullptr;
  const auto* const rule = std::find_if(kRules.begin(), kRules.end(),
                                        [&](const Rule& entry) { return Matches(entry, name); });
  return rule == kRules.end() ? nullptr : &*rule;
}

// Takes the entries of one property apart.
class Reader {
 public:
  Reader(const DeviceTree& tree, const DtNode& node, const DtProperty& property,
         SupplierClass supplier)
      : tree_(tree), node_(node), property_(property), supplier_(supplier) {
    const auto cells = property.Cells();
    if (!cells) throw Error(Where() + ": not a list of cells");
    cells_ = *cells;
  }

  std::vector<Reference> Read(const Rule& rule) {
    if (rule.shape == Shape::kMap) return ReadMap(rule.count);
    while (at_ < cells_.size()) {
      const std::optional<DtNode> target = Target();
      std::size_t count = 0;
      if (rule.shape == Shape::kLeading) {
        count = cells_.size() - at_;
      } else if (target) {
        count = rule.shape == Shape::kFixed ? rule.count : target->Cell(rule.cells).value_or(0);
      }
      Add(target, count);
    }
    return std::move(references_);
  }

  // `interrupt-map`: child address, child specifier, parent, parent address, parent specifier.
  std::vector<Reference> ReadInterruptMap() {
    const std::size_t child = std::size_t{node_.Cell("#address-cells").value_or(2)} +
                              node_.Cell("#interrupt-cells").value_or(1);
    while (at_ < cells_.size()) {
      if (child >= cells_.size() - at_) throw CutShort();
      at_ += child;
      const std::optional<DtNode> target = Target();
      if (!target) throw Error(Where() + ": no node has phandle 0x0");
      Add(target, std::size_t{target->Cell("#address-cells").value_or(0)} +
                      target->Cell("#interrupt-cells").value_or(1));
    }
    return std::move(references_);
  }

  // `interrupts`: specifiers for `parent`.
  std::vector<Reference> ReadInterrupts(const DtNode& parent) {
    const std::size_t count = parent.Cell("#interrupt-cells").value_or(0);
    if (count == 0) {
      throw Error(Where() + ": its interrupt parent " + parent.path() + " has no #interrupt-cells");
    }
    while (at_ < cells_.size()) Add(parent, count);
    return std::move(references_);
  }

 private:
  [[nodiscard]] std::string Where() const {
    return node_.path() + ": " + std::string(property_.name);
  }
  [[nodiscard]] Error CutShort() const { return Error(Where() + ": the last entry is cut short"); }

  std::optional<DtNode> Target() {
    const std::uint32_t phandle = cells_[at_++];
    if (phandle == 0) return std::nullopt;
    const auto target = tree_.ByPhandle(phandle);
    if (!target) throw Error(Where() + ": no node has phandle " + Hex(phandle));
    return target;
  }

  void Add(const std::optional<DtNode>& target, std::size_t count) {
    if (cells_.size() - at_ < count) throw CutShort();
    const auto first = cells_.begin() + static_cast<std::ptrdiff_t>(at_);
    at_ += count;
    if (target) {
      references_.push_back({std::string(property_.name),
                             index_,
                             supplier_,
                             *target,
                             {first, first + static_cast<std::ptrdiff_t>(count)}});
    }
    ++index_;
  }

  std::vector<Reference> ReadMap(std::size_t count) {
    if (cells_.size() % count != 0) throw CutShort();
    while (at_ < cells_.size()) {
      ++at_;
      Add(Target(), count - 2);
    }
    return std::move(references_);
  }

  const DeviceTree& tree_;
  const DtNode& node_;
  const DtProperty& property_;
  SupplierClass supplier_;
  std::vector<std::uint32_t> cells_;
  std::size_t at_ = 0;
  std::size_t index_ = 0;
  std::vector<Reference> references_;
};

constexpr std::array kWords = {
    "clock",
    "reset",
    "power domain",
    "pin controller",
    "IOMMU",
    "interconnect",
    "PHY",
    "Ethernet PHY",
    "GPIO",
    "regulator",
    "DMA channel",
    "mailbox",
    "thermal zone",
    "NVMEM cell",
    "memory region",
    "system controller",
    "interrupt controller",
    "other node",
};
static_assert(kWords.size() == static_cast<std::size_t>(SupplierClass::kOther) + 1);

}  // namespace

std::vector<Reference> References(const DeviceTree& tree, const DtNode& node) {
  std::vector<Reference> references;
  for (const DtProperty& property : node.properties()) {
    for (Reference& reference : References(tree, node, property)) {
      references.push_back(std::move(reference));
    }
  }
  return references;
}

std::vector<Reference> References(const DeviceTree& tree, const DtNode& node,
                                  const DtProperty& property) {
  if (property.name == "interrupts") {
    // interrupts-extended takes precedence (Devicetree Specification 2.4.1.2).
    if (node.Property("interrupts-extended")) return {};
    const auto parent = InterruptParent(tree, node);
    if (!parent) throw Error(node.path() + ": interrupts: it has no interrupt parent");
    return Reader(tree, node, property, kInterrupt).ReadInterrupts(*parent);
  }
  if (property.name == "interrupts-extended") {
    return Reader(tree, node, property, kInterrupt)
        .Read(List("interrupts-extended", kInterrupt, "#interrupt-cells"));
  }
  if (property.name == "interrupt-map") {
    return Reader(tree, node, property, kInterrupt).ReadInterruptMap();
  }
  const Rule* const rule = FindRule(node, property.name);
  if (rule == nullptr) return {};
  return Reader(tree, node, property, rule->supplier).Read(*rule);
}

const char* ToString(SupplierClass supplier) { return kWords[static_cast<std::size_t>(supplier)]; }

}  // namespace microvm
