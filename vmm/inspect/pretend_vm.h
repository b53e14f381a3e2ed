// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "vmm/plan/vm_plan.h"

namespace microvm {

// The plan of a guest of 128 MiB on a capable host, with these devices. Throws as MakePlan.
VmPlan PlanPretendedVm(const std::vector<DeviceFacts>& devices);

}  // namespace microvm
