// SPDX-License-Identifier: Apache-2.0
#include "devices/gpio/gpio_pin.h"

namespace microvm {

bool GpioPin::MakeOutput(bool high) noexcept {
  if (!MayBeOutput()) return false;
  is_changed_ = true;
  if (!line_->MakeOutput(high)) return false;
  is_output_ = true;
  return true;
}

bool GpioPin::Drive(bool high) noexcept {
  // One may have been found an output that is none of the guest's.
  if (!is_output_ || !MayBeOutput() || !line_->Drive(high)) return false;
  is_changed_ = true;
  return true;
}

bool GpioPin::Watch(GpioEdges edges) noexcept {
  if (!MayWatch(edges)) return false;
  is_changed_ = true;  // also where the host makes it an input, but has no interrupt for it
  if (!line_->MakeInput(edges)) return false;
  is_output_ = false;
  return true;
}

void GpioPin::Restore() noexcept {
  if (!is_changed_) return;
  // A host that refuses has lost the chip: there is nothing to be restored.
  [[maybe_unused]] const bool done =
      found_.output ? line_->MakeOutput(found_.high) : line_->MakeInput(GpioEdges::kNone);
  is_output_ = found_.output;
  is_changed_ = false;
}

}  // namespace microvm
