// SPDX-License-Identifier: Apache-2.0
#include "psci.h"

#include "cpu.h"

namespace guest {

std::int64_t Psci::Call(PsciFunction function, std::uint64_t x1, std::uint64_t x2,
                        std::uint64_t x3) const {
  if (conduit_ == Conduit::kNone) return kPsciNotSupported;
  const std::uint64_t result =
      SecureCall(conduit_, static_cast<std::uint64_t>(function), x1, x2, x3);
  return static_cast<std::int32_t>(result);
}

void Psci::SystemOff() const {
  (void)Call(PsciFunction::kSystemOff);
  Halt();
}

void Psci::SystemReset() const {
  (void)Call(PsciFunction::kSystemReset);
  Halt();
}

}  // namespace guest
