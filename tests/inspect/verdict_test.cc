// SPDX-License-Identifier: Apache-2.0
// Facts to verdict, and how both are shown.
#include <doctest/doctest.h>

#include <string>

#include "tests/fakes/dtc.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/host_tree.h"
#include "vmm/inspect/format.h"
#include "vmm/inspect/inspect.h"
#include "vmm/passthrough/host_clocks.h"

namespace microvm {
namespace {

using fakes::Contains;

const HostIndex& Index() {
  static const HostIndex index(std::make_shared<const DeviceTree>(fakes::TreeBlob("inspect")));
  return index;
}

InspectInput InputOf(const DtNode& node) {
  InspectInput input;
  input.clocks = ReadClocks(Index().tree(), node, "/dev/null");
  return input;
}

Inspection Of(const std::string& name) {
  const DtNode node = Index().tree().Find("/bus@80000000/" + name).value();
  return Inspect(Index(), node, InputOf(node));
}

// Of a host where everything is as a start needs it.
Inspection OfReady(const std::string& name, bool no_iommu) {
  const DtNode node = Index().tree().Find("/bus@80000000/" + name).value();
  InspectInput input = InputOf(node);
  LiveFacts live;
  live.name = DeviceName(node);
  live.driver = "vfio-platform";
  live.bound_to_vfio = true;
  live.iommu_group = 3;
  live.no_iommu = no_iommu;
  live.vfio_driver = true;
  live.no_iommu_mode = true;
  live.unsafe_interrupts = true;
  live.reset_required = false;
  input.live = live;
  return Inspect(Index(), node, input);
}

bool HasReason(const Inspection& inspection, Verdict verdict, const std::string& text) {
  for (const Reason& reason : inspection.reasons) {
    if (reason.verdict == verdict && Contains(reason.text, text)) return true;
  }
  return false;
}

TEST_CASE("a device whose node crosses as it stands says so") {
  const Inspection plain = Of("plain@3000");
  CHECK(plain.verdict == Verdict::kAsIs);
  CHECK(HasReason(plain, Verdict::kAsIs, "nothing of its node has to be replaced"));
  CHECK(plain.toml == "[[platform]]\nhost = \"80003000.plain\"\ndma = \"none\"\n");
  CHECK(fakes::RunDtc(plain.guest_tree).warnings.empty());
}

TEST_CASE(
    "suppliers that stay with the host are stubs, and rates that nobody tells are asked for") {
  const Inspection stubbed = Of("stubbed@4000");
  CHECK(stubbed.verdict == Verdict::kWithStubs);
  CHECK(HasReason(stubbed, Verdict::kWithStubs,
                  "only the running host knows the rate of its clocks: bus"));
  CHECK(HasReason(stubbed, Verdict::kWithStubs,
                  "stays with the host: clock (clocks), power domain (power-domains)"));
  CHECK(HasReason(stubbed, Verdict::kWithStubs, "clocks bus, with /bus@80000000/serial@1000"));
  CHECK(stubbed.suppliers.at(0).rate_hz == 24'000'000U);
  CHECK(Contains(stubbed.toml, "# clocks = { bus = Hz }\n"));
  CHECK_FALSE(stubbed.guest_tree.empty());
}

TEST_CASE("on the running host a rate that is not known stands against the guest's node") {
  const Inspection stubbed = OfReady("stubbed@4000", true);
  CHECK(stubbed.verdict == Verdict::kNeedsBinding);
  CHECK(HasReason(stubbed, Verdict::kNeedsBinding, "the rate of clock 'bus'"));
  CHECK(Contains(stubbed.reasons.front().fix, "clocks = { bus = 100000000 }"));
  CHECK(Contains(stubbed.toml, "# clocks = { bus = Hz }\n"));
}

TEST_CASE("a rate that only the host's driver knows goes into the table, as it is gone with it") {
  const DtNode node = Index().tree().Find("/bus@80000000/stubbed@4000").value();
  InspectInput input = InputOf(node);
  input.live = LiveFacts{.name = "80004000.stubbed", .driver = "acme"};
  input.driver_rates = {{"ref", 1}, {"bus", 66'000'000}};
  const Inspection inspection = Inspect(Index(), node, input);
  CHECK(inspection.verdict == Verdict::kWithStubs);
  // What the tree says needs no word.
  CHECK(Contains(inspection.toml, "\nclocks = { bus = 66000000 }\n"));
  CHECK(HasReason(inspection, Verdict::kWithStubs, "only the host's driver tells the rate"));
  CHECK_FALSE(inspection.guest_tree.empty());
}

TEST_CASE("a clock without a name has no other's rate, and a name that is no bare key has quotes") {
  const DtNode node = Index().tree().Find("/bus@80000000/stubbed@4000").value();
  InspectInput input = InputOf(node);
  input.clocks[1].name.clear();
  input.driver_rates = {{"", 5}};
  CHECK(Contains(Inspect(Index(), node, input).toml, "# clocks = { 1 = Hz }\n"));
  input.clocks[1].name = "ssi.9";
  input.driver_rates = {{"ssi.9", 5}};
  CHECK(Contains(Inspect(Index(), node, input).toml, "\nclocks = { \"ssi.9\" = 5 }\n"));
  input.clocks[1] = {};  // an entry of <0>
  CHECK_FALSE(Contains(Inspect(Index(), node, input).toml, "Hz"));
}

TEST_CASE("all that cannot cross is a reason, and the table that leaves it out makes the node") {
  const Inspection needy = Of("needy@5000");
  CHECK(needy.verdict == Verdict::kNeedsBinding);
  CHECK(HasReason(needy, Verdict::kNeedsBinding, "'mystery-gpios' refers to"));
  CHECK(HasReason(needy, Verdict::kNeedsBinding, "'vdd-supply' refers to"));
  CHECK(needy.reasons.front().fix ==
        "pass /bus@80000000/gpio@6000 through too; or, if the guest's driver can do without it: "
        "drop = [\"mystery-gpios\"]");
  CHECK(needy.toml ==
        "[[platform]]\nhost = \"80005000.needy\"\ndma = \"none\"\n"
        "# What the guest's driver then has to do without; the reasons say what else would help.\n"
        "drop = [\"mystery-gpios\", \"vdd-supply\"]\n");
  CHECK(fakes::RunDtc(needy.guest_tree).warnings.empty());
}

TEST_CASE("a bus is not made to lead nowhere without being asked") {
  const Inspection bridge = Of("bridge@17000");
  CHECK(bridge.verdict == Verdict::kNeedsBinding);
  CHECK(HasReason(bridge, Verdict::kNeedsBinding, "'ranges' refers to"));
  CHECK(HasReason(bridge, Verdict::kNeedsBinding, "'vdd-supply' refers to"));
  CHECK_FALSE(Contains(bridge.toml, "drop"));
  CHECK(bridge.guest_tree.empty());
}

TEST_CASE("what keeps a device with the host is a reason to refuse it") {
  const auto refused = [](const std::string& name, const std::string& text) {
    const Inspection inspection = Of(name);
    return inspection.verdict == Verdict::kRefused && inspection.toml.empty() &&
           HasReason(inspection, Verdict::kRefused, text);
  };
  CHECK(refused("off@7000", "disabled"));
  CHECK(refused("nameless@8000", "no compatible"));
  CHECK(refused("unreachable@300000", "the CPU does not reach its registers"));
  CHECK(refused("i2c@15000/sensor@48", "a device on the bus of /bus@80000000/i2c@15000"));
  CHECK(refused("gpio@6000", "the host needs it for /bus@80000000/needy@5000 (mystery-gpios)"));
  CHECK(refused("timer@1800", "interrupt 1 belongs to each CPU"));
  CHECK(refused("shared-a@a000", "the host uses for /bus@80000000/shared-b@b000"));
  CHECK(refused("circling@d000", "it leads in a circle"));
  CHECK(refused("dma-a@11000", "VFIO does not accept its IOMMU /iommu@fd900000 (arm-smmu)"));
}

TEST_CASE("what is refused for its DMA alone has a table for those who know that it does none") {
  const Inspection free = Of("dma-d@14000");
  CHECK(free.verdict == Verdict::kRefused);
  CHECK(HasReason(free, Verdict::kRefused, "it does DMA"));
  CHECK_FALSE(free.host_fixes.empty());
  // Memory has other addresses on its bus: dma = "identity" could not be.
  CHECK(free.toml ==
        "## Refused for its DMA alone. Whoever knows better takes the \"# \" from a table:\n"
        "## It is known to do no DMA.\n"
        "# [[platform]]\n# host = \"80014000.dma-d\"\n# dma = \"none\"\n"
        "# ignore_dma_signs = true\n");
  CHECK_FALSE(Contains(free.reasons.front().fix, "identity"));
}

TEST_CASE("a device with neither registers nor interrupts has nothing to hand over") {
  constexpr const char* kReason = "neither registers nor interrupts";
  const auto of = [](const std::string& path) {
    return Inspect(Index(), Index().tree().Find(path).value(), {});
  };
  const Inspection oscillator = of("/osc");
  CHECK(oscillator.verdict == Verdict::kRefused);
  CHECK(HasReason(oscillator, Verdict::kRefused, kReason));
  CHECK(oscillator.guest_tree.empty());
  // What it has is not known.
  CHECK_FALSE(HasReason(of("/cut@1000"), Verdict::kRefused, kReason));
  const HostIndex board(std::make_shared<const DeviceTree>(fakes::TreeBlob("board")));
  const DtNode line_alone = board.tree().Find("/axi/regulator-switch").value();
  CHECK(Inspect(board, line_alone, {}).verdict == Verdict::kAsIs);
}

TEST_CASE(
    "a node below one that is no bus is a device only if the driver of that makes one of it") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Node("bus", [&] {
      fdt.String("compatible", "simple-bus");
      for (const char* property : {"#address-cells", "#size-cells"}) fdt.Cells(property, {1});
      fdt.Flag("ranges");
      fdt.Node("wrapper@1000", [&] {
        fdt.String("compatible", "acme,wrapper");
        fdt.Cells("reg", {0x1000, 0x1000});
        for (const char* property : {"#address-cells", "#size-cells"}) fdt.Cells(property, {1});
        fdt.Flag("ranges");
        fdt.Node("inner@2000", [&] {
          fdt.String("compatible", "acme,inner");
          fdt.Cells("reg", {0x2000, 0x1000});
        });
      });
    });
  });
  const HostIndex board(std::make_shared<const DeviceTree>(fdt.Finish()));
  const DtNode wrapper = board.tree().Find("/bus/wrapper@1000").value();
  const DtNode inner = board.tree().Find("/bus/wrapper@1000/inner@2000").value();
  CHECK(MakerOf(wrapper) == std::nullopt);
  CHECK(MakerOf(inner) == wrapper);
  CHECK(HasReason(Inspect(board, inner, {}), Verdict::kAsIs,
                  "only if the driver of /bus/wrapper@1000 makes one of it"));
  InspectInput input;
  input.live = LiveFacts();
  CHECK_FALSE(HasReason(Inspect(board, inner, input), Verdict::kAsIs, "makes one of it"));
}

TEST_CASE("what no key of the table helps is refused, with the node's path and no table") {
  FdtWriter fdt;
  fdt.Node("", [&] {
    for (const char* property : {"#address-cells", "#size-cells"}) fdt.Cells(property, {2});
    fdt.Node("device@0", [&] {
      fdt.String("compatible", "acme,all");
      fdt.Cells("reg", {0, 0, UINT32_MAX, UINT32_MAX});
    });
  });
  const HostIndex board(std::make_shared<const DeviceTree>(fdt.Finish()));
  const Inspection all = Inspect(board, board.tree().Find("/device@0").value(), {});
  CHECK(all.verdict == Verdict::kRefused);
  CHECK(HasReason(all, Verdict::kRefused, "/device@0: no room in the guest's address space"));
  CHECK(all.toml == "");
}

TEST_CASE("memory of the host is no device") {
  const auto reason = [](const std::string& path) {
    const Inspection inspection = Inspect(Index(), Index().tree().Find(path).value(), {});
    return inspection.verdict == Verdict::kRefused ? inspection.reasons.front().text : "";
  };
  CHECK(reason("/reserved-memory/pool@f0000000") ==
        "it is memory that the host's tree reserves, and no device");
  CHECK(reason("/framebuffer@f1000000") ==
        "it is memory that the host's firmware has a display show");
}

TEST_CASE("what crosses with the node does not stay with the host") {
  const Inspection port = Of("port@16000");
  CHECK(port.suppliers.empty());
  CHECK(port.verdict == Verdict::kAsIs);
}

TEST_CASE("a line that a node lists twice does not refuse") {
  const Inspection twice = Of("twice@9000");
  CHECK(twice.verdict != Verdict::kRefused);
  CHECK(HasReason(twice, Verdict::kAsIs, "interrupt 1 is a line that the node lists before"));
}

TEST_CASE("no guest's node is made of what the CPU does not reach") {
  CHECK(Of("unreachable@300000").guest_tree.empty());
  CHECK(Of("i2c@15000/sensor@48").guest_tree.empty());
  CHECK_FALSE(Of("off@7000").guest_tree.empty());
}

TEST_CASE("a malformed node is refused with what is wrong, and nothing is thrown") {
  const DtNode node = Index().tree().Find("/cut@1000").value();
  const Inspection inspection = Inspect(Index(), node, {});
  CHECK(inspection.verdict == Verdict::kRefused);
  CHECK(HasReason(inspection, Verdict::kRefused, "/cut@1000: reg: 12 bytes"));
}

TEST_CASE("pages that are shared or not whole are told, and do not refuse") {
  const Inspection serial = Of("serial@1000");
  CHECK(serial.verdict == Verdict::kWithStubs);
  CHECK(HasReason(serial, Verdict::kAsIs, "region 0 is not whole pages"));
  CHECK(HasReason(serial, Verdict::kAsIs, "region 0 shares a page with /bus@80000000/timer@1800"));
}

TEST_CASE("a host's needs follow from the device: IOMMU, reset function, MSIs, bus") {
  const auto needs = [](const Inspection& inspection, const std::string& text) {
    for (const std::string& fix : inspection.host_fixes) {
      if (Contains(fix, text)) return true;
    }
    return false;
  };
  const Inspection plain = Of("plain@3000");
  CHECK(needs(plain, "vfio.enable_unsafe_noiommu_mode=1"));
  CHECK(needs(plain, "vfio-platform.reset_required=0"));
  CHECK_FALSE(needs(plain, "allow_unsafe_interrupts"));
  const Inspection ethernet = Of("ethernet@10000");
  CHECK_FALSE(needs(ethernet, "vfio.enable_unsafe_noiommu_mode=1"));
  CHECK_FALSE(needs(ethernet, "reset_required"));
  CHECK_FALSE(needs(ethernet, "allow_unsafe_interrupts"));
  CHECK(Contains(ethernet.toml, "dma = \"iommu\""));
  CHECK(needs(Of("dma-b@12000"), "vfio_iommu_type1.allow_unsafe_interrupts=1"));
  CHECK_FALSE(needs(Of("primecell@e000"), "reset_required"));
  CHECK(OfReady("plain@3000", true).host_fixes.empty());
}

TEST_CASE("what the kernel has done outweighs what the tree suggests") {
  // Bound behind an IOMMU: VFIO has accepted it.
  CHECK_FALSE(HasReason(OfReady("dma-a@11000", false), Verdict::kRefused, "VFIO does not accept"));
  // Bound: the host has let it go already, whoever refers to it.
  CHECK_FALSE(HasReason(OfReady("gpio@6000", true), Verdict::kRefused, "the host needs it"));
}

TEST_CASE("what a start would say against a bound device is a reason to refuse it") {
  const DtNode node = Index().tree().Find("/bus@80000000/plain@3000").value();
  InspectInput input = InputOf(node);
  LiveFacts live;
  live.name = "80003000.plain";
  live.bound_to_vfio = true;
  live.not_ready = "it has no IOMMU group";
  live.not_ready_fix = "boot the host with ...";
  input.live = live;
  const Inspection inspection = Inspect(Index(), node, input);
  CHECK(inspection.verdict == Verdict::kRefused);
  CHECK(inspection.reasons.front().text == "it has no IOMMU group");
  CHECK(inspection.reasons.front().fix == "boot the host with ...");
}

TEST_CASE(
    "a bus whose ranges cannot cross has no table: what of it to give is for the user to say") {
  const Inspection bus = Inspect(Index(), Index().tree().Find("/bus@80000000").value(), {});
  for (const Reason& reason : bus.reasons) CAPTURE(reason.text);
  CHECK(bus.toml.empty());
}

TEST_CASE("of an IOMMU group, those in the way are named with what frees them") {
  const DtNode node = Index().tree().Find("/bus@80000000/plain@3000").value();
  InspectInput input = InputOf(node);
  LiveFacts live;
  live.name = "80003000.plain";
  live.group_members = {"80004000.plain", "80005000.plain"};
  live.group_holders = {"plain-driver: microvm device bind 80004000.plain"};
  input.live = live;
  const Inspection inspection = Inspect(Index(), node, input);
  const std::string text = FormatText(inspection);
  CHECK(Contains(text,
                 "in its IOMMU group too, with the host's driver plain-driver: "
                 "microvm device bind 80004000.plain\n"));
  CHECK_FALSE(Contains(text, "bind 80005000.plain"));
}

TEST_CASE("the text for people") {
  const std::string text = FormatText(Of("stubbed@4000"));
  CHECK(text == fakes::Golden("inspect.txt", text));
}

TEST_CASE("the JSON for programs") {
  const std::string json = FormatJson(Of("timer@1800")) + "\n";
  CHECK(json == fakes::Golden("inspect.json", json));
}

TEST_CASE("text that JSON cannot hold is escaped") {
  Inspection inspection;
  inspection.device = "a\"b\\c\n\x01\xff";
  CHECK(Contains(FormatJson(inspection), R"("device":"a\"b\\c\n\u0001\u00ff")"));
}

TEST_CASE("rows have a live host's columns only on a live host") {
  CHECK(FormatRowTitles(false) == "DEVICE                       VERDICT        COMPATIBLE\n");
  CHECK(FormatRow(Of("plain@3000")) == "80003000.plain               as is          acme,plain\n");
  CHECK(FormatRow(OfReady("plain@3000", true)) ==
        "80003000.plain               as is          vfio-platform        3 (no IOMMU)   "
        "acme,plain\n");
}

}  // namespace
}  // namespace microvm
