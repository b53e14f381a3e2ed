// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "vmm/fdt/device_tree.h"

namespace microvm {

// Of a file that is no overlay.
constexpr const char* kOverlayRemedy =
    "give [boot] overlay what dtc makes of a source with /plugin/";

// Merges overlays (.dtbo, as dtc makes them of `/plugin/;` sources) into a tree with `__symbols__`,
// one after the other.
class OverlayMerger {
 public:
  // The tree with the overlay in it. Throws Error naming `file` and the node if the overlay refers
  // to a label or path that the tree does not have, changes what the tree's maker decides (of a
  // node that is there already: `reg`, its interrupts, `phandle`, cells; of `/chosen`: what the
  // guest is booted with), adds what is in the way of the tree's (overlay_additions.h), or sets a
  // property that an overlay before it has set to something else.
  std::vector<std::byte> Merge(std::span<const std::byte> tree, const std::string& file,
                               const std::vector<std::byte>& overlay);

 private:
  void CheckNode(const DtNode& overlay, const DeviceTree& tree, const std::string& path,
                 const std::string& file);

  struct Setting {
    std::string file;
    std::vector<std::byte> value;
  };
  std::map<std::string, Setting> settings_;  // by "PATH: PROPERTY"
};

}  // namespace microvm
