// SPDX-License-Identifier: Apache-2.0
// What vectors.S saves, and how the guest survives accesses that are meant to fault.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace guest {

// For an interrupt only x0..x17 and x30 are valid, and vector_time, the counter at the vector's
// first instructions; for another exception everything is but the time.
struct ExceptionFrame {
  std::array<std::uint64_t, 31> x;
  std::uint64_t vector_time;
  std::uint64_t elr;
  std::uint64_t spsr;
};
static_assert(sizeof(ExceptionFrame) == 272 && offsetof(ExceptionFrame, vector_time) == 248);

// Exception classes, ESR_ELx.EC (Arm ARM, D19.2.40).
enum class ExceptionClass : unsigned {
  kUndefined = 0x00,
  kInstructionAbort = 0x21,
  kPcAlignment = 0x22,
  kDataAbort = 0x25,
};

// What happened to a probed access.
struct Exception {
  std::uint64_t syndrome = 0;
  std::uint64_t address = 0;

  [[nodiscard]] ExceptionClass exception_class() const {
    return static_cast<ExceptionClass>(syndrome >> 26 & 0x3f);
  }
  // Fault status code: 0x10 synchronous external abort, 0x21 alignment fault.
  [[nodiscard]] unsigned fault_status() const { return syndrome & 0x3f; }
};

// While one of these lives on the boot CPU, a synchronous exception is counted and the
// instruction skipped; an instruction that could not be fetched returns to its caller instead.
// Without one, it is a failure that reports ESR, ELR and FAR.
class ExceptionGuard {
 public:
  ExceptionGuard();
  ~ExceptionGuard();
  ExceptionGuard(const ExceptionGuard&) = delete;
  ExceptionGuard& operator=(const ExceptionGuard&) = delete;
  ExceptionGuard(ExceptionGuard&&) = delete;
  ExceptionGuard& operator=(ExceptionGuard&&) = delete;

  // Exceptions since the guard was made; the last of them.
  [[nodiscard]] std::uint64_t count() const;
  [[nodiscard]] Exception last() const;
};

}  // namespace guest
