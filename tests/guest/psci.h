// SPDX-License-Identifier: Apache-2.0
// Power State Coordination Interface (Arm DEN 0022): version, CPUs on and off, system off, reset.
#pragma once

#include <cstdint>

namespace guest {

// How firmware is called (binding: arm/psci.yaml, `method`).
enum class Conduit { kNone, kHvc, kSmc };

enum class PsciFunction : std::uint64_t {
  kVersion = 0x8400'0000,
  kCpuOff = 0x8400'0002,
  kCpuOn = 0xc400'0003,
  kAffinityInfo = 0xc400'0004,
  kSystemOff = 0x8400'0008,
  kSystemReset = 0x8400'0009,
  kFeatures = 0x8400'000a,
  kSystemReset2 = 0xc400'0012,
};

// Return values (DEN 0022, 5.2.2). NOT_SUPPORTED is also what the SMC Calling Convention (DEN
// 0028, 5.2) answers to any function it does not know.
enum PsciResult : std::int64_t {
  kPsciSuccess = 0,
  kPsciNotSupported = -1,
  kPsciInvalidParameters = -2,
  kPsciAlreadyOn = -4,
};

// One call by the SMC Calling Convention (DEN 0028, 2.6): x0..x17 may change.
[[gnu::always_inline]] inline std::uint64_t SecureCall(Conduit conduit, std::uint64_t function,
                                                       std::uint64_t x1 = 0, std::uint64_t x2 = 0,
                                                       std::uint64_t x3 = 0) {
  register std::uint64_t r0 asm("x0") = function;
  register std::uint64_t r1 asm("x1") = x1;
  register std::uint64_t r2 asm("x2") = x2;
  register std::uint64_t r3 asm("x3") = x3;
  if (conduit == Conduit::kHvc) {
    asm volatile("hvc #0"
                 : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3)::"x4", "x5", "x6", "x7", "x8", "x9",
                   "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "memory");
  } else {
    asm volatile("smc #0"
                 : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3)::"x4", "x5", "x6", "x7", "x8", "x9",
                   "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "memory");
  }
  return r0;
}

class Psci {
 public:
  Psci() = default;
  explicit Psci(Conduit conduit) : conduit_(conduit) {}

  [[nodiscard]] Conduit conduit() const { return conduit_; }

  // Results of 32-bit functions are sign-extended from 32 bits.
  [[nodiscard]] std::int64_t Call(PsciFunction function, std::uint64_t x1 = 0, std::uint64_t x2 = 0,
                                  std::uint64_t x3 = 0) const;

  [[noreturn]] void SystemOff() const;
  [[noreturn]] void SystemReset() const;

 private:
  Conduit conduit_ = Conduit::kNone;
};

}  // namespace guest
