// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace microvm {

// A wire from an emulated device to the interrupt controller; the device does not know its number.
class IrqLine {
 public:
  IrqLine() = default;
  IrqLine(const IrqLine&) = delete;
  IrqLine& operator=(const IrqLine&) = delete;
  IrqLine(IrqLine&&) = delete;
  IrqLine& operator=(IrqLine&&) = delete;
  virtual ~IrqLine() = default;

  // Drives the line high or low. Any thread; calls for one line are not concurrent.
  virtual void Set(bool high) noexcept = 0;
};

}  // namespace microvm
