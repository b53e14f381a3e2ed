// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "vmm/plan/vm_plan.h"

namespace microvm {

// The guest's device tree (BuildGuestTree, without the seeds of a boot) as source that dtc reads,
// with a comment behind each property that says where it came from: from which property of the
// host, by which rule; from which overlay; or that it is the machine's own. What was left out comes
// behind it. Pure; throws Error as BuildGuestTree.
std::string GuestTreeSource(const VmPlan& plan);

}  // namespace microvm
