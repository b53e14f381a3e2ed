// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/dma_signs.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"
#include "vmm/fdt/fdt_writer.h"

namespace microvm {
namespace {

using fakes::Contains;

// A tree with one node of this name and properties.
std::shared_ptr<const DeviceTree> TreeOf(const std::string& name,
                                         const std::vector<std::string>& properties) {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node(name, [&] {
      fdt.String("compatible", "acme,device");
      for (const std::string& property : properties) fdt.Flag(property);
    });
  });
  return std::make_shared<const DeviceTree>(fdt.Finish());
}

std::vector<std::string> Signs(const std::string& name,
                               const std::vector<std::string>& properties) {
  return SignsOfDma(*TreeOf(name, properties)->Find("/" + name));
}

using Names = std::vector<std::string>;

TEST_CASE("a node that says nothing of memory has no signs of DMA") {
  CHECK(Signs("canfd@ff070000", {"clocks", "interrupts"}) == Names{});
  CHECK(Signs("serial@9000000", {"dmas", "dma-names"}) == Names{});  // the controller's
  CHECK(Signs("ethernetish@0", {}) == Names{});
}

TEST_CASE("properties and names of bus masters are signs of DMA") {
  CHECK(Signs("device@1", {"iommus"}) == Names{"iommus"});
  CHECK(Signs("device@1", {"dma-coherent", "memory-region"}) ==
        Names{"dma-coherent", "memory-region"});
  CHECK(Signs("ethernet@ff0c0000", {}) == Names{"its name, ethernet@ff0c0000"});
  CHECK(Signs("usb", {"dma-ranges"}) == Names{"dma-ranges", "its name, usb"});
  CHECK(Signs("dma-controller@2", {"#dma-cells"}) ==
        Names{"#dma-cells", "its name, dma-controller@2"});
}

Names SignsOf(const std::string& name, const std::string& compatible,
              const std::string& parent = "acme,bus") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("above@0", [&] {
      fdt.String("compatible", parent);
      fdt.Node(name, [&] { fdt.Strings("compatible", {"acme,new", compatible}); });
    });
  });
  const DeviceTree tree(fdt.Finish());
  return SignsOfDma(*tree.Find("/above@0/" + name));
}

TEST_CASE("families of bus masters are known by a word of their compatible") {
  for (const char* compatible :
       {"fsl,sec-v5.4-job-ring", "rockchip,rk3399-rga", "rockchip,iommu", "nxp,imx8qxp-jpgdec",
        "renesas,vsp2", "amlogic,axg-toddr", "amlogic,g12a-frddr", "fsl,ls1046a-pcie-ep",
        "generic-xhci", "snps,dwc3", "fsl,imx6q-fec", "arm,mali-t860", "qcom,smmu-v2"}) {
    CAPTURE(compatible);
    CHECK(SignsOf("device@1", compatible) == Names{std::string("its compatible, ") + compatible});
  }
  for (const char* name : {"xhci", "mac", "ahci", "ohci", "sdio", "vop", "emmc", "pcie-ep", "video",
                           "iommu", "dsp", "sata", "lcd-controller"}) {
    CAPTURE(name);
    CHECK(SignsOf(name, "acme,device") == Names{std::string("its name, ") + name});
  }
}

TEST_CASE("what stands beside a bus master, or only serves it, is none") {
  for (const char* compatible :
       {"snps,dw-apb-uart", "qcom,geni-i2c", "fsl,imx6q-ecspi", "rockchip,gpio-bank",
        "fsl,imx21-wdt", "arm,pl031", "fsl,imx27-pwm", "amlogic,meson-saradc", "bosch,m_can",
        "fsl,imx8mp-usb-phy", "qcom,sdm845-qmp-ufs-phy", "fsl,fman-memac-mdio",
        "qcom,sc7180-gem-noc", "fsl,sec-v4.0-mon-rtc-lp", "brcm,genet-mdio-v5", "usb-c-connector",
        "fsl,fman-muram"}) {
    CAPTURE(compatible);
    CHECK(SignsOf("device@1", compatible).empty());
  }
  CHECK(SignsOf("clock-controller@1", "acme,isp").empty());
}

TEST_CASE("what is below a bus master is one, unless it only serves it") {
  CHECK(SignsOf("queue@1", "acme,queue", "acme,crypto") == Names{"what it is part of, /above@0"});
  CHECK(SignsOf("phy@1", "acme,queue", "acme,crypto").empty());
  CHECK(SignsOf("queue@1", "acme,queue").empty());
}

// A device without an IOMMU, to be passed through with dma = "none".
fakes::PlanInput MasterInput() {
  fakes::PlanInput input;
  DeviceFacts facts = fakes::FactsOf(TreeOf("mmc@1000", {"dma-coherent"}), "/mmc@1000");
  facts.no_iommu = true;
  input.devices = {facts};
  return input;
}

TEST_CASE("without an IOMMU a bus master is refused, with its signs and the key that overrules") {
  const fakes::PlanInput input = MasterInput();
  const std::string complaint = fakes::ChainOf([&] { return input.Make(); });
  CHECK(Contains(complaint,
                 "'0.device' has no IOMMU before it, and its node says that it reads and writes "
                 "memory by itself: dma-coherent, its name, mmc@1000\n"));
  CHECK(Contains(complaint, "ignore_dma_signs = true"));
}

TEST_CASE("a bus master is not refused if the user knows better, or behind an IOMMU") {
  fakes::PlanInput input = MasterInput();
  input.devices[0].config.ignore_dma_signs = true;
  CHECK(input.Make().devices.size() == 1);
  input = MasterInput();
  input.devices[0].no_iommu = false;
  CHECK(input.Make().devices.size() == 1);
}

}  // namespace
}  // namespace microvm
