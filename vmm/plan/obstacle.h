// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vmm/fdt/device_tree.h"
#include "vmm/fdt/references.h"
#include "vmm/host/error.h"
#include "vmm/plan/device_facts.h"

namespace microvm {

// Something of the host's node that cannot cross to the guest.
struct Obstacle {
  std::string what;     // "/eth@1000: the property 'dmas' refers to ..."
  std::string instead;  // what helps without leaving it out: "pass /gpio through too"; "": nothing
  std::string drop;     // the entry of `drop` that leaves it out; "": it cannot be left out
};

// Thrown for one of them.
class ObstacleError : public Error {
 public:
  explicit ObstacleError(Obstacle obstacle)
      : Error(obstacle.what, obstacle.instead), obstacle_(std::move(obstacle)) {}
  [[nodiscard]] const Obstacle& obstacle() const { return obstacle_; }

 private:
  Obstacle obstacle_;
};

// What leaves out a property of the device's node or one below it, and no other.
std::string NameToDrop(const DeviceFacts& facts, const DtNode& node, std::string_view property);

// Throws ObstacleError: "the property 'dmas' WHY". `instead` is as above.
[[noreturn]] void Refuse(const DeviceFacts& facts, const DtNode& node, std::string_view property,
                         const std::string& why, const std::string& instead = {});
// The same for a reference to what the guest does not have.
[[noreturn]] void RefuseReference(const DeviceFacts& facts, const DtNode& node,
                                  const Reference& reference);

// What leaves them out, each once.
std::vector<std::string> DropsOf(const std::vector<Obstacle>& obstacles);
// As the configuration has it: `drop = ["dmas", "phy-handle"]`.
std::string DropLine(const std::vector<std::string>& drops);

// Throws Error with all of them, and what to write into the [[platform]] table of `host`, unless
// there are none.
void ThrowIfAny(const std::vector<Obstacle>& obstacles, const std::string& host);

}  // namespace microvm
