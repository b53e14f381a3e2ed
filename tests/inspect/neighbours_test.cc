// SPDX-License-Identifier: Apache-2.0
// Nodes that are in each other's way, or only look like it: lines, registers, DMA windows behind
// windows.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/config/vm_config.h"
#include "vmm/fdt/regions.h"
#include "vmm/host/error.h"
#include "vmm/inspect/host_index.h"
#include "vmm/inspect/inspect.h"
#include "vmm/inspect/live_facts.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using Paths = std::vector<std::string>;

const HostIndex& Neighbours() {
  static const HostIndex index(std::make_shared<const DeviceTree>(fakes::TreeBlob("neighbours")));
  return index;
}

DtNode Neighbour(const std::string& path) { return Neighbours().tree().Find(path).value(); }

// "bus address+size>address of the CPU" of each window.
std::string WindowsOf(const std::string& path) {
  std::string text;
  for (const DmaWindow& window : ReadDmaWindows(Neighbours().tree(), Neighbour(path))) {
    text += (text.empty() ? "" : " ") + Hex(window.bus_address) + "+" + Hex(window.size_bytes) +
            ">" + Hex(window.cpu_address);
  }
  return text;
}

TEST_CASE("a DMA window is translated through the dma-ranges of the buses above its own") {
  CHECK(WindowsOf("/outer/nested") == "0x0+0x40000000>0x80000000");
  // Of its second window nothing above knows.
  CHECK(WindowsOf("/outer/nested/device") == "0x10000000+0x1000000>0x80000000");
  CHECK(ChainOf([] { WindowsOf("/outer/astray/device"); }) ==
        "/outer/astray: dma-ranges: none of them leads to memory\n");
}

TEST_CASE("buses with empty dma-ranges, and the device's own with none, hand DMA on as it is") {
  CHECK(WindowsOf("/outer/handing-on/device") == "0x0+0x40000000>0x80000000");
  CHECK(WindowsOf("/outer/silent/device") == "0x0+0x40000000>0x80000000");
  CHECK(WindowsOf("/outer/silent/silent/device").empty());
}

TEST_CASE("DMA goes by the interconnect that is for it") {
  CHECK(WindowsOf("/elsewhere") == "0x0+0x1000>0x30000000");
  CHECK(ChainOf([] { WindowsOf("/circling"); }) ==
        "/circling: interconnects: its DMA leads round in a circle\n");
}

// Who else has the first interrupt of a node.
Paths LineSharersOf(const std::string& path) {
  const DtNode node = Neighbour(path);
  return Neighbours().SharersOf(node, Neighbours().Read(node).references.front());
}

TEST_CASE("a line is the same by whatever way: straight, by a list, through a nexus") {
  CHECK(LineSharersOf("/spi-77") == Paths{"/behind-nexus"});
  CHECK(LineSharersOf("/behind-nexus") == Paths{"/spi-77"});
  // The nexus could lead there, but nobody goes that way.
  CHECK(LineSharersOf("/spi-78").empty());
}

TEST_CASE("devices on a PCI bus have the lines of its map, and no other") {
  CHECK(LineSharersOf("/spi-50") == Paths{"/pcie@1000000", "/busy-master@5001000"});
  CHECK(LineSharersOf("/spi-0").empty());
}

TEST_CASE("lines of controllers that are no GIC are told apart by all but the trigger") {
  CHECK(LineSharersOf("/pair-a") == Paths{"/pair-b"});
  CHECK(LineSharersOf("/pair-c").empty());
  CHECK(LineSharersOf("/bank-a").empty());
  CHECK(LineSharersOf("/four-a") == Paths{"/four-b"});
  CHECK(LineSharersOf("/four-c").empty());
}

TEST_CASE("a line that leads nowhere is nobody's") { CHECK(LineSharersOf("/lost").empty()); }

// What inspecting a node says against handing it over; "" if nothing does.
std::string RefusalOf(const std::string& path) {
  const Inspection inspection = Inspect(Neighbours(), Neighbour(path), {});
  return inspection.verdict == Verdict::kRefused ? inspection.reasons.front().text : "";
}

TEST_CASE("registers that an enabled node has too are the host's") {
  CHECK(RefusalOf("/alike@3000000") ==
        "region 0 has registers that the host uses for /twin@3000000");
  // A part's whole is above it; a page is only shared.
  CHECK(RefusalOf("/whole@2000000/part@2001000").empty());
  CHECK(RefusalOf("/whole@2000000").empty());
  CHECK(RefusalOf("/page-mate@3001000").empty());
  // A bus has no registers but those of what is on it.
  CHECK(RefusalOf("/beside-bus@6001000").empty());
}

TEST_CASE("registers of a system controller are for others to use, but not to be handed over") {
  CHECK(RefusalOf("/in-system@4001000").empty());
  CHECK(RefusalOf("/system@4000000") ==
        "region 0 has registers that the host uses for /in-system@4001000");
}

TEST_CASE("registers in RAM, and in those of a syscon that gives clocks, are the host's") {
  CHECK(RefusalOf("/on-memory@60001000") ==
        "region 0 has registers that the host uses for /memory@60000000");
  CHECK(RefusalOf("/in-clocks@7001000") ==
        "region 0 has registers that the host uses for /clocks@7000000");
}

TEST_CASE("regions end with the first that the CPU does not reach whole, as Linux's do") {
  const Inspection device = Inspect(Neighbours(), Neighbour("/short-bus@9000000/device@0"), {});
  REQUIRE(device.regions.size() == 3);
  CHECK_FALSE(device.regions[1].region.cpu_address);
  CHECK(PretendedFacts(Neighbours(), device, {}).regions.size() == 1);
  CHECK(RefusalOf("/short-bus@9000000/empty@2000") ==
        "region 1 has no bytes: VFIO does not take the device");
}

TEST_CASE("the console of a tree is in use, though no host says so") {
  CHECK(RefusalOf("/console@8001000") == "the host needs it for /chosen (stdout-path)");
}

bool Says(const Inspection& inspection, Verdict verdict, const std::string& text) {
  return std::any_of(
      inspection.reasons.begin(), inspection.reasons.end(),
      [&](const Reason& reason) { return reason.verdict == verdict && reason.text == text; });
}

TEST_CASE("registers and lines of nodes that the host has no driver for are free meanwhile") {
  InspectInput input;
  input.live = LiveFacts{.name = "3000000.alike", .idle_nodes = {"/twin@3000000"}};
  const Inspection alike = Inspect(Neighbours(), Neighbour("/alike@3000000"), input);
  CHECK(alike.verdict == Verdict::kAsIs);
  CHECK(Says(alike, Verdict::kAsIs,
             "region 0 has registers that /twin@3000000 would have too, with a driver: leave it "
             "without"));
  input.live->idle_nodes = {"/pcie@1000000"};
  const Inspection line = Inspect(Neighbours(), Neighbour("/spi-50"), input);
  CHECK(Says(line, Verdict::kRefused,
             "interrupt 0 is a line that the host uses for /busy-master@5001000: VFIO does not "
             "share lines"));
  CHECK(Says(line, Verdict::kAsIs,
             "interrupt 0 is a line that /pcie@1000000 would have too, with a driver: leave it "
             "without"));
}

TEST_CASE("interrupts that a GIC does not have, or not so, are told") {
  const Inspection inspection = Inspect(Neighbours(), Neighbour("/impossible@8000000"), {});
  CHECK(Says(inspection, Verdict::kRefused, "interrupt 0 is none that a GIC has"));
  CHECK(Says(inspection, Verdict::kRefused, "interrupt 1 is none that a GIC has"));
  CHECK(Says(inspection, Verdict::kRefused, "interrupt 2 asks for a trigger that no SPI has"));
  CHECK(inspection.interrupts.at(3).line.impossible.empty());
}

TEST_CASE("idle is what no driver of the host has, whose lines nobody has, and that needs none") {
  fakes::HostTree host;
  host.AddDevice({.name = "3000000.twin", .driver = "", .node = "/twin@3000000"});
  host.AddDevice({.name = "3000000.alike", .driver = "alike", .node = "/alike@3000000"});
  host.AddDevice({.name = "5000000.master", .node = "/master@5000000"});
  host.AddDevice({.name = "5001000.busy-master", .driver = "", .node = "/busy-master@5001000"});
  host.AddDevice({.name = "4000000.system", .driver = "", .node = "/system@4000000"});
  host.AddDevice({.name = "lost", .driver = "", .node = "/lost"});
  const HostSysfs sysfs(host.root());
  host.SetInterrupts(" 14:         34   GICv3  82 Level     a-timer\n");
  const std::set<std::string> busy = {"/master@5000000", "/twin@3000000"};
  CHECK(IdleNodes(sysfs, Neighbours().tree()) == busy);
  // Counted once, given back since.
  host.SetInterrupts(" 14:         34   GICv3  82 Level\n");
  const std::set<std::string> given_back = {"/busy-master@5001000", "/master@5000000",
                                            "/twin@3000000"};
  CHECK(IdleNodes(sysfs, Neighbours().tree()) == given_back);
}

// A machine's TOML with the second of the tables to choose from, without their "# ".
std::string SecondChoice(const std::string& choices) {
  std::string text = "[boot]\nkernel = \"Image\"\n";
  for (std::size_t at = choices.find("## DANGEROUS"); at < choices.size();) {
    const std::size_t end = choices.find('\n', at) + 1;
    const std::string line = choices.substr(at, end - at);
    text += line.starts_with("# ") ? line.substr(2) : line;
    at = end;
  }
  for (const std::string placeholder : {"VALUE", "OFFSET"}) {
    text.replace(text.find(placeholder), placeholder.size(), "0");
  }
  return text;
}

TEST_CASE("what is refused for its DMA alone has a table for guests that are trusted with it") {
  const Inspection master = Inspect(Neighbours(), Neighbour("/master@5000000"), {});
  CHECK(master.verdict == Verdict::kRefused);
  CHECK(Contains(master.reasons.front().fix, "dma = \"identity\""));
  for (std::size_t at = 0; at < master.toml.size(); at = master.toml.find('\n', at) + 1) {
    CHECK(master.toml[at] == '#');  // it is for the user to choose
  }
  const VmConfig config = ParseVmConfig(SecondChoice(master.toml), "vm.toml");
  REQUIRE(config.platform.size() == 1);
  CHECK(config.platform[0].host == "5000000.master");
  CHECK(config.platform[0].dma == DmaMode::kIdentity);
  CHECK(config.platform[0].drop == Paths{"vdd-supply"});
  CHECK(config.platform[0].reset.recipe.size() == 1);
  CHECK(config.memory.identity_file == "/dev/hugepages/guest");
}

TEST_CASE("what is refused for more than its DMA has no table") {
  // It shares a line, too.
  CHECK(Inspect(Neighbours(), Neighbour("/busy-master@5001000"), {}).toml.empty());
}

}  // namespace
}  // namespace microvm
