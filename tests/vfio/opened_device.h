// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/kvm.h>

#include <memory>
#include <string_view>

#include "devices/vfio/container.h"
#include "devices/vfio/device.h"
#include "tests/fakes/board.h"
#include "vmm/host/log_budget.h"
#include "vmm/kvm/arm64_uapi.h"
#include "vmm/kvm/kvm.h"

namespace microvm::fakes {

// A device of a board, opened, beside a VM with an initialised vGIC of 64 SPIs.
class OpenedDevice {
 public:
  // The CAN controller: one level interrupt.
  explicit OpenedDevice(Board& board, const char* name = kCanName)
      : container(board.kernel, board.sysfs,
                  std::string_view(name) == kCanName ? IommuType::kType1 : IommuType::kNoIommu),
        kvm(board.kernel),
        vm(kvm, 40),
        gic(vm, KVM_DEV_TYPE_ARM_VGIC_V3, "vgic") {
    gic.SetAttribute(arm64::kVgicGroupControl, arm64::kVgicControlInit, nullptr, "init");
    device = std::make_unique<VfioDevice>(container.OpenDevice(board.sysfs.Find(name)));
    board.kernel.ClearLog();
  }

  LogBudget log;
  VfioContainer container;
  Kvm kvm;
  Vm vm;
  KvmDevice gic;
  std::unique_ptr<VfioDevice> device;
};

}  // namespace microvm::fakes
