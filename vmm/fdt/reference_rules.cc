// SPDX-License-Identifier: Apache-2.0
#include "vmm/fdt/reference_rules.h"

#include <algorithm>
#include <array>

namespace microvm {
namespace {

constexpr ReferenceRule List(std::string_view name, SupplierClass supplier,
                             std::string_view cells) {
  return {name, supplier, ReferenceShape::kList, cells};
}
constexpr ReferenceRule Fixed(std::string_view name, SupplierClass supplier, std::size_t count) {
  return {name, supplier, ReferenceShape::kFixed, {}, count};
}
constexpr ReferenceRule Leading(std::string_view name, SupplierClass supplier) {
  return {name, supplier};
}
constexpr ReferenceRule Map(std::string_view name, SupplierClass supplier) {
  return {name, supplier, ReferenceShape::kMap, {}, 4};
}

using enum SupplierClass;

// bindings/pinctrl/pinctrl-single.yaml.
constexpr std::string_view kPinRange = "pinctrl-single,gpio-range";

// By the whole name.
constexpr std::array kNames = {
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
    List(kPinRange, kPinctrl, "#pinctrl-single,gpio-range-cells"),
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
    Fixed("devfreq-events", kOther, 0),
    Leading("peer-hub", kOther),
    Leading("ptp-timer", kOther),
    Leading("secure-monitor", kMailbox),
    Leading("regulator-coupled-with", kRegulator),
    Fixed("pm_qos", kInterconnect, 0),
    Fixed("dais", kOther, 0),
    Fixed("aux-devs", kOther, 0),
    Leading("audio-codec", kOther),
    Leading("audio-cpu", kOther),
    Leading("audio-asrc", kOther),
    Leading("ssi-controller", kOther),
    Leading("slim-ifc-dev", kOther),
    Leading("frame-master", kOther),
    Leading("bitclock-master", kOther),

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
    Fixed("ti,unmapped-event-sources", kInterrupt, 0),
    Leading("ti,ringacc", kDmaChannel),
    Fixed("ti,prus", kOther, 0),
    Fixed("ti,iep", kOther, 0),
    Leading("ti,mii-rt", kSyscon),
    Leading("ti,mii-g-rt", kSyscon),
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
    Fixed("nvidia,vm-irq-config", kOther, 0),
    Fixed("nvidia,vm-vdma-config", kOther, 0),
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
    Leading("rockchip,usbgrf", kSyscon),
    Leading("rockchip,cpu", kOther),
    Leading("rockchip,codec", kOther),
    Leading("syscon-phy-power", kSyscon),
    Leading("gpr", kSyscon),
    Leading("qcom,qaccept-regs", kSyscon),
    Leading("qcom,saw-reg", kSyscon),
    Leading("qcom,mmio", kOther),
    Leading("qcom,rproc", kOther),
    Leading("qcom,pbs", kOther),
    Leading("ti,am65x-oldi-io-ctrl", kSyscon),
    Leading("ti,camerrx-control", kSyscon),
    Leading("ti,serdes-clk", kSyscon),
    Leading("ti,cpb-mcasp", kOther),
    Leading("ti,cpb-codec", kOther),
    Leading("arm,vexpress,config-bridge", kOther),
    Leading("mediatek,sgmiisys", kSyscon),
    Leading("mediatek,hifsys", kSyscon),
    Leading("mediatek,pcie-mirror", kSyscon),
    Leading("mediatek,wed-pcie", kSyscon),
    Leading("mediatek,wo-ccif", kSyscon),
    Leading("mediatek,adsp", kOther),
    Leading("mediatek,headset-codec", kOther),
    Leading("fsl,ddrc", kOther),
    Leading("nvidia,mipi-calibrate", kOther),
    Leading("allwinner,pipelines", kOther),
    Leading("allwinner,codec-analog-controls", kOther),
    Leading("richtek,usb-connector", kOther),
};

// By the start of the name.
constexpr std::array kPrefixes = {
    Fixed("pinctrl-", kPinctrl, 0),
    Leading("ti,syscon-", kSyscon),
    Leading("mediatek,syscon-", kSyscon),
};

// By the end of the name; the first that matches counts. A number of GPIOs is none
// (drivers/of/property.c: parse_gpios).
constexpr std::array kSuffixes = {
    List("-gpios", kGpio, "#gpio-cells"),
    List("-gpio", kGpio, "#gpio-cells"),
    Fixed("-supply", kRegulator, 0),
    Leading("syscon", kSyscon),
    Leading("syscon-phandle", kSyscon),
    Leading("-grf", kSyscon),
    Leading(",grf", kSyscon),
    Leading("-sysreg", kSyscon),
    Leading("-handle", kOther),
    Leading("-phandle", kOther),
};

// Most names of a tree are no rule's: shorter before longer, so that few texts are compared.
constexpr bool IsBefore(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

constexpr auto kSortedNames = [] {
  auto rules = kNames;
  std::sort(rules.begin(), rules.end(), [](const ReferenceRule& a, const ReferenceRule& b) {
    return IsBefore(a.name, b.name);
  });
  return rules;
}();

static_assert(std::adjacent_find(kSortedNames.begin(), kSortedNames.end(),
                                 [](const ReferenceRule& a, const ReferenceRule& b) {
                                   return a.name == b.name;
                                 }) == kSortedNames.end(),
              "a name has one rule");

const ReferenceRule* FindName(std::string_view name) {
  const auto* const found =
      std::lower_bound(kSortedNames.begin(), kSortedNames.end(), name,
                       [](const ReferenceRule& rule, std::string_view wanted) {
                         return IsBefore(rule.name, wanted);
                       });
  return found == kSortedNames.end() || found->name != name ? nullptr : found;
}

}  // namespace

bool IsPinState(std::string_view property) {
  constexpr std::string_view kPrefix = "pinctrl-";
  return property.starts_with(kPrefix) && property.size() > kPrefix.size() &&
         property.find_first_not_of("0123456789", kPrefix.size()) == std::string_view::npos;
}

const ReferenceRule* FindReferenceRule(const DtNode& node, std::string_view property) {
  if (property.ends_with(",nr-gpios")) return nullptr;
  // `pinctrl-single,pins` and the like are data.
  if (property.starts_with("pinctrl-") && !IsPinState(property) && property != kPinRange) {
    return nullptr;
  }
  // A hog's GPIOs are its parent's (drivers/of/property.c: parse_gpio_compat).
  if (property == "gpios" && node.Property("gpio-hog")) return nullptr;
  if (const ReferenceRule* const rule = FindName(property)) return rule;
  for (const ReferenceRule& rule : kPrefixes) {
    if (property.starts_with(rule.name)) return &rule;
  }
  for (const ReferenceRule& rule : kSuffixes) {
    if (property.ends_with(rule.name)) return &rule;
  }
  return nullptr;
}

}  // namespace microvm
