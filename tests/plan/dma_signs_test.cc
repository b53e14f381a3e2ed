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
