// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: an overlay, merged into a guest's tree; what comes out must be a tree.
#include "vmm/fdt/overlay.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "vmm/fdt/fdt_writer.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

std::vector<std::byte> GuestTree() {
  FdtWriter fdt;
  fdt.Node("", [&] {
    fdt.Cells("#address-cells", {2});
    fdt.Cells("#size-cells", {2});
    fdt.Node("device@1000", [&] {
      fdt.String("compatible", "acme,device");
      fdt.Cells("reg", {0, 0x1000, 0, 0x1000});
      fdt.Cells("interrupts", {0, 1, 4});
      fdt.Cells("phandle", {1});
      fdt.Node("child", [&] { fdt.Cells("setting", {1, 2}); });
    });
    fdt.Node("__symbols__", [&] {
      fdt.String("device", "/device@1000");
      fdt.String("child", "/device@1000/child");
    });
  });
  return fdt.Finish();
}

void Merge(const std::vector<std::byte>& overlay) {
  static const std::vector<std::byte> tree = GuestTree();
  OverlayMerger merger;
  std::vector<std::byte> merged;
  try {
    merged = merger.Merge(tree, "first.dtbo", overlay);
  } catch (const Error&) {
    return;
  }
  const DeviceTree result(merged);  // an Error here ends the fuzzer
  std::size_t properties = 0;
  for (const DtNode& node : result.AllNodes()) properties += node.properties().size();
  if (properties == 0) std::abort();
  try {
    merger.Merge(merged, "second.dtbo", overlay);
  } catch (const Error&) {
    return;
  }
}

}  // namespace
}  // namespace microvm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  microvm::Merge({bytes, bytes + size});
  return 0;
}
