// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: a host's device tree, read, indexed, each node inspected, shown.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "vmm/host/error.h"
#include "vmm/inspect/format.h"
#include "vmm/inspect/inspect.h"
#include "vmm/passthrough/host_clocks.h"

namespace microvm {
namespace {

void InspectAll(std::vector<std::byte> blob) {
  std::shared_ptr<const DeviceTree> tree;
  try {
    tree = std::make_shared<const DeviceTree>(std::move(blob));
  } catch (const Error&) {
    return;
  }
  const HostIndex index(tree);
  for (const DtNode& node : tree->AllNodes()) {
    const Inspection inspection = Inspect(
        index, node,
        {{}, ReadSoundClocks(*tree, node, "/dev/null"), ReadClocksBelow(*tree, node, "/dev/null")});
    if (inspection.reasons.empty() || FormatText(inspection).empty() ||
        FormatJson(inspection).empty()) {
      std::abort();
    }
  }
}

}  // namespace
}  // namespace microvm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  microvm::InspectAll({bytes, bytes + size});
  return 0;
}
