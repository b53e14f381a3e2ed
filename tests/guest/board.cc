// SPDX-License-Identifier: Apache-2.0
#include "board.h"

#include <algorithm>
#include <array>
#include <optional>

#include "arguments.h"
#include "failure.h"

namespace guest {
namespace {

constexpr const char* kPl011 = "arm,pl011";

// chosen/stdout-path is a path or an alias, with options after a colon.
std::optional<DeviceTree::Node> StandardOutput(const DeviceTree& tree) {
  const auto chosen = tree.FindPath("/chosen");
  if (!chosen) return std::nullopt;
  const std::string_view path = tree.String(*chosen, "stdout-path");
  const auto node = tree.FindPath(path.substr(0, path.find(':')));
  if (!node || !tree.IsCompatible(*node, kPl011)) return std::nullopt;
  return node;
}

GicFacts ReadGic(const DeviceTree& tree) {
  GicFacts gic{.version = 3, .distributor = {}, .others = {}};
  auto node = tree.FindCompatible("arm,gic-v3");
  if (!node) {
    gic.version = 2;
    node = tree.FindCompatible("arm,cortex-a15-gic");
    if (!node) node = tree.FindCompatible("arm,gic-400");
  }
  if (!node) Fail("no GIC in the device tree");
  const Cells count = tree.Property(*node, "#redistributor-regions");
  const unsigned others = gic.version == 3 && count.count() == 1 ? count[0] : 1;
  const auto distributor = tree.Region(*node, 0);
  if (!distributor) Fail("the GIC has no registers");
  gic.distributor = *distributor;
  for (unsigned i = 1; i <= others; ++i) {
    const auto region = tree.Region(*node, i);
    if (!region || !gic.others.Add(*region)) Fail("the GIC's reg cannot be used, entry ", i);
  }
  return gic;
}

DeviceFacts ReadDevice(const DeviceTree& tree, std::string_view arguments) {
  DeviceFacts device;
  const std::string_view wanted = Arguments(arguments).Text("device").value_or("arm,pl031");
  std::array<char, 64> compatible{};  // libfdt wants a NUL behind it
  if (wanted.size() >= compatible.size()) Fail("device=", wanted, " is too long");
  std::copy(wanted.begin(), wanted.end(), compatible.begin());
  const auto node = tree.FindCompatible(compatible.data());
  if (!node) return device;
  device.name = tree.Name(*node);
  for (unsigned i = 0;; ++i) {
    const auto region = tree.Region(*node, i);
    if (!region || !device.regions.Add(*region)) break;
  }
  for (unsigned i = 0;; ++i) {
    const auto interrupt = tree.InterruptOf(*node, i);
    if (!interrupt || !device.interrupts.Add(*interrupt)) break;
  }
  return device;
}

void ReadMemory(const DeviceTree& tree, Board& board) {
  for (auto node = tree.FindDeviceType("memory"); node;
       node = tree.FindDeviceType("memory", *node)) {
    for (unsigned i = 0;; ++i) {
      const auto bank = tree.Region(*node, i);
      if (!bank) break;
      if (!board.memory.Add(*bank)) Fail("more memory banks than expected");
    }
  }
  if (board.memory.empty()) Fail("no memory in the device tree");
}

void ReadCpus(const DeviceTree& tree, Board& board) {
  for (auto node = tree.FindDeviceType("cpu"); node; node = tree.FindDeviceType("cpu", *node)) {
    const Cells reg = tree.Property(*node, "reg");
    if (reg.count() == 0) Fail("a cpu node without reg");
    if (!board.cpus.Add(reg.Number(0, static_cast<unsigned>(reg.count())))) break;
  }
  if (board.cpus.empty()) Fail("no cpus in the device tree");
}

}  // namespace

Conduit ReadConduit(const DeviceTree& tree) {
  auto node = tree.FindCompatible("arm,psci-0.2");
  if (!node) node = tree.FindCompatible("arm,psci-1.0");
  if (!node) return Conduit::kNone;
  return tree.String(*node, "method") == "hvc" ? Conduit::kHvc : Conduit::kSmc;
}

UartFacts ReadUart(const DeviceTree& tree) {
  auto node = StandardOutput(tree);
  if (!node) node = tree.FindCompatible(kPl011);
  if (!node) Fail("no PL011 in the device tree");
  const auto registers = tree.Region(*node, 0);
  if (!registers) Fail("the PL011 has no registers");
  return {.registers = *registers, .interrupt = tree.InterruptOf(*node, 0).value_or(Interrupt{})};
}

Board ReadBoard(const DeviceTree& tree) {
  Board board;
  board.conduit = ReadConduit(tree);
  board.uart = ReadUart(tree);
  board.gic = ReadGic(tree);
  ReadMemory(tree, board);
  ReadCpus(tree, board);
  constexpr unsigned kVirtualTimer = 2;  // binding: timer/arm,arch_timer.yaml
  if (const auto timer = tree.FindCompatible("arm,armv8-timer")) {
    board.virtual_timer = tree.InterruptOf(*timer, kVirtualTimer).value_or(Interrupt{});
  }
  if (const auto pmu = tree.FindCompatible("arm,armv8-pmuv3")) {
    board.pmu = tree.InterruptOf(*pmu, 0).value_or(Interrupt{});
  }
  if (const auto chosen = tree.FindPath("/chosen")) {
    board.arguments = tree.String(*chosen, "bootargs");
  }
  board.device = ReadDevice(tree, board.arguments);
  return board;
}

}  // namespace guest
