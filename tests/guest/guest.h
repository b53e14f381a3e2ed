// SPDX-License-Identifier: Apache-2.0
// What a mode has at hand.
#pragma once

#include <string_view>

#include "arguments.h"
#include "board.h"
#include "console.h"
#include "gic.h"
#include "mmu.h"
#include "pl031.h"
#include "psci.h"

namespace guest {

class Guest {
 public:
  // All of them outlive the guest.
  Guest(const Board& board, const Console& console, const Psci& psci, Gic& gic,
        AddressSpace& address_space);

  [[nodiscard]] const Board& board() const { return board_; }
  [[nodiscard]] const Console& console() const { return console_; }
  [[nodiscard]] const Psci& psci() const { return psci_; }
  [[nodiscard]] AddressSpace& address_space() { return address_space_; }
  [[nodiscard]] const Arguments& arguments() const { return arguments_; }
  [[nodiscard]] std::uint64_t Number(std::string_view name, std::uint64_t otherwise) const {
    return arguments_.Number(name, otherwise);
  }

  // The interrupt controller, whether or not it has been started.
  [[nodiscard]] Gic& gic() { return gic_; }

  // Starts the interrupt controller unless it runs, and unmasks interrupts on the boot CPU.
  void StartInterrupts();
  [[nodiscard]] bool interrupts_started() const { return interrupts_started_; }

  // The device under test and its interrupt; a failure when the tree has none.
  [[nodiscard]] Pl031 device() const;
  [[nodiscard]] Interrupt device_interrupt() const;

  // Starts the interrupt controller if need be, and then lets the device interrupt: what it has
  // been asserting until now arrives at once. The device itself is not cleared before.
  void ConnectDevice(InterruptHandler handler);

  // Masks and clears the device, disables its interrupt.
  void DisconnectDevice();

 private:
  const Board& board_;
  const Console& console_;
  const Psci& psci_;
  Gic& gic_;
  AddressSpace& address_space_;
  Arguments arguments_;
  bool interrupts_started_ = false;
};

}  // namespace guest
