// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "vmm/host/log_budget.h"
#include "vmm/kvm/kvm.h"

namespace microvm {

// Has KVM signal an eventfd for each of the guest's writes of 4 bytes to an address, of one value
// or of any (KVM_IOEVENTFD): the vCPU goes on without an exit to user space. Deassigned on
// destruction, whose failure goes to `log`. The VM, the eventfd and `log` outlive it.
class Ioeventfd {
 public:
  Ioeventfd(const Vm& vm, GuestAddress address, std::optional<std::uint32_t> value,
            const Fd& eventfd, LogBudget& log);
  Ioeventfd(const Ioeventfd&) = delete;
  Ioeventfd& operator=(const Ioeventfd&) = delete;
  Ioeventfd(Ioeventfd&& other) noexcept;
  Ioeventfd& operator=(Ioeventfd&&) = delete;
  ~Ioeventfd();

 private:
  const Fd* vm_;
  GuestAddress address_;
  std::optional<std::uint32_t> value_;
  int eventfd_;
  LogBudget* log_;
};

}  // namespace microvm
