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

// Exceptions by what they mean (Arm ARM, ESR_ELx.EC and its fault status codes).
struct ExceptionCounts {
  std::uint64_t external = 0;   // synchronous external abort on data
  std::uint64_t alignment = 0;  // alignment fault on data
  std::uint64_t fetch = 0;      // anything wrong with a jump's target
  std::uint64_t undefined = 0;  // undefined instruction
  std::uint64_t system = 0;     // SError
  std::uint64_t other = 0;

  [[nodiscard]] std::uint64_t total() const {
    return external + alignment + fetch + undefined + system + other;
  }
};

// While one of these lives on the boot CPU, an exception in probes.S, or in what it jumped to, is
// counted and ends that probe; an SError anywhere is counted. Without one, and anywhere else, an
// exception is a failure that reports ESR, ELR and FAR.
class ExceptionGuard {
 public:
  ExceptionGuard();
  ~ExceptionGuard();
  ExceptionGuard(const ExceptionGuard&) = delete;
  ExceptionGuard& operator=(const ExceptionGuard&) = delete;
  ExceptionGuard(ExceptionGuard&&) = delete;
  ExceptionGuard& operator=(ExceptionGuard&&) = delete;

  // Since the guard was made.
  [[nodiscard]] ExceptionCounts counts() const;
};

}  // namespace guest
