// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/device_binding.h"

#include <algorithm>
#include <array>

namespace microvm {
namespace {

using enum BoundProperty::Action;

// A stub is worth nothing where the driver takes no reset, and costs the guest a driver.
constexpr BoundProperty kNoReset{"resets", kLeaveOut, "the guest's driver asks for no reset"};
constexpr BoundProperty kOptionalReset{"resets", kLeaveOut,
                                       "optional: the guest's driver does without"};
constexpr BoundProperty kOptionalDma{
    "dmas", kLeaveOut, "optional: the guest's driver moves data without a DMA controller"};

constexpr std::array kResetOnly = {kNoReset};
constexpr std::array kOptionalResetOnly = {kOptionalReset};
constexpr std::array kSerialPort = {kOptionalReset, kOptionalDma};
constexpr std::array kFlexrm = {BoundProperty{
    "msi-parent", kRefuse, "its interrupts are messages, and the guest has no ITS to take them"}};

// Devices without a property of their own follow the general rules whole; they stand here because
// their bindings have been read for it, and a test shows the node, or a guest has run with it.
constexpr std::array kBindings = {
    DeviceBinding{"calxeda,hb-xgmac", "net/calxeda-xgmac.yaml", {}},
    // Both layouts: five regions in one node; or two and a `phy-handle` to a device of three, which
    // is passed through beside it (drivers/net/ethernet/amd/xgbe/xgbe-platform.c).
    DeviceBinding{"amd,xgbe-seattle-v1a", "net/amd-xgbe.txt", {}},
    DeviceBinding{"amd,xgbe-phy-seattle-v1a", "net/amd-xgbe-phy.txt, until Linux 4.1", {}},
    // Its driver insists on both resets, and on every clock by name.
    DeviceBinding{"nvidia,tegra234-mgbe", "net/nvidia,tegra234-mgbe.yaml", {}},
    // Also the controllers of tegra234. NVIDIA's driver insists on the reset `can` and on its
    // clocks.
    DeviceBinding{"nvidia,tegra194-mttcan", "NVIDIA's kernel: nvidia-t19x-can.txt", {}},
    DeviceBinding{"brcm,iproc-flexrm-mbox", "mailbox/brcm,iproc-flexrm-mbox.txt", kFlexrm},
    DeviceBinding{"renesas,rcar-gen3-gpio", "gpio/renesas,rcar-gpio.yaml", kResetOnly},
    DeviceBinding{"renesas,rcar-gen3-sata", "ata/renesas,rcar-sata.yaml", kResetOnly},
    DeviceBinding{"renesas,scif", "serial/renesas,scif.yaml", kSerialPort},
    DeviceBinding{"xlnx,canfd-2.0", "net/can/xilinx,can.yaml", kOptionalResetOnly},
    DeviceBinding{"xlnx,versal-gem", "net/cdns,macb.yaml", kOptionalResetOnly},
    DeviceBinding{"xlnx,zynqmp-gem", "net/cdns,macb.yaml", kOptionalResetOnly},
    DeviceBinding{"cdns,zynqmp-gem", "net/cdns,macb.yaml", kOptionalResetOnly},
    DeviceBinding{"xlnx,zynqmp-dma-1.0", "dma/xilinx/xlnx,zynqmp-dma-1.0.yaml", {}},
    DeviceBinding{"arm,pl330", "dma/arm,pl330.yaml", kOptionalResetOnly},
    DeviceBinding{"arm,primecell", "arm/primecell.yaml", kSerialPort},
};

constexpr bool AreDistinct() {
  for (std::size_t a = 0; a < kBindings.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      if (kBindings[a].compatible == kBindings[b].compatible) return false;
    }
  }
  return true;
}
static_assert(AreDistinct());

}  // namespace

const BoundProperty* DeviceBinding::Find(std::string_view property) const {
  const auto found = std::find_if(properties.begin(), properties.end(),
                                  [&](const auto& entry) { return entry.property == property; });
  return found == properties.end() ? nullptr : &*found;
}

const DeviceBinding* FindBinding(const DtNode& node) {
  for (const std::string& compatible : node.Strings("compatible")) {
    const auto* const found =
        std::find_if(kBindings.begin(), kBindings.end(),
                     [&](const auto& binding) { return binding.compatible == compatible; });
    if (found != kBindings.end()) return &*found;
  }
  return nullptr;
}

std::span<const DeviceBinding> DeviceBindings() { return kBindings; }

}  // namespace microvm
