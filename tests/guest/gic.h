// SPDX-License-Identifier: Apache-2.0
// The interrupt controller as the modes use it, whatever its version, and the table of handlers.
#pragma once

#include <array>
#include <cstdint>

#include "board.h"
#include "exceptions.h"

namespace guest {

inline constexpr std::uint32_t kFirstSpecialIntid = 1020;

// Runs with interrupts masked, on the CPU that took the interrupt, before its end is signalled.
struct InterruptHandler {
  void (*function)(void* context, const ExceptionFrame& frame) = nullptr;
  void* context = nullptr;
};

class Gic {
 public:
  // Turns forwarding on, with every shared interrupt disabled.
  virtual void StartDistributor() = 0;

  // Prepares the interface of the CPU it runs on, with all its software interrupts enabled.
  // Interrupts stay masked in PSTATE.
  virtual void StartCpu() = 0;

  // Routes a shared interrupt to this CPU, sets its trigger and enables it. A private interrupt
  // is enabled for this CPU.
  virtual void Enable(Interrupt interrupt) = 0;
  virtual void Disable(Interrupt interrupt) = 0;

  // State bits of a shared interrupt.
  [[nodiscard]] virtual bool IsEnabled(std::uint32_t intid) const = 0;
  [[nodiscard]] virtual bool IsPending(std::uint32_t intid) const = 0;
  [[nodiscard]] virtual bool IsActive(std::uint32_t intid) const = 0;

  // Sends software interrupt `intid` (0..15) to the CPU with this affinity; `index` is its place
  // in the device tree.
  virtual void SendSoftwareInterrupt(std::uint32_t intid, std::uint64_t affinity,
                                     unsigned index) = 0;

  // Acknowledges, runs the handler, signals the end. Called by the vector.
  virtual void Service(const ExceptionFrame& frame) = 0;

  void SetHandler(std::uint32_t intid, InterruptHandler handler) { handlers_[intid] = handler; }

  // Acknowledgements that found nothing to do (INTID 1023).
  [[nodiscard]] std::uint64_t spurious() const { return spurious_; }

  // The distributor, whose read-only type register is at +4 in both versions.
  [[nodiscard]] const GicFacts& facts() const { return facts_; }

 protected:
  explicit Gic(const GicFacts& facts);
  ~Gic() = default;

  void Dispatch(std::uint64_t intid, const ExceptionFrame& frame) {
    const InterruptHandler& handler = handlers_[intid];
    handler.function(handler.context, frame);
  }
  void CountSpurious() { ++spurious_; }

 private:
  const GicFacts& facts_;
  std::uint64_t spurious_ = 0;
  std::array<InterruptHandler, kFirstSpecialIntid> handlers_{};
};

// Hands every interrupt from now on to `gic`, which outlives all of them.
void ServiceInterruptsWith(Gic& gic);

}  // namespace guest
