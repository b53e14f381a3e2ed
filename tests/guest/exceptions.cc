// SPDX-License-Identifier: Apache-2.0
#include "exceptions.h"

#include <atomic>

#include "failure.h"

// Symbols of start.S, guest.lds and probes.S, as they call them.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" const char _start[];
extern "C" const char __image_end[];
extern "C" const char probes_start[];
extern "C" const char probes_end[];
// NOLINTEND(readability-identifier-naming)

namespace guest {
namespace {

// vectors.S numbers the vectors in table order.
constexpr std::uint64_t kSynchronous = 4;
constexpr std::uint64_t kSystemError = 7;

// ESR_EL1.EC and data fault status codes (Arm ARM, D19.2.40).
constexpr std::uint64_t kUndefined = 0x00;
constexpr std::uint64_t kDataAbort = 0x25;
constexpr std::uint64_t kExternalAbort = 0x10;
constexpr std::uint64_t kAlignmentFault = 0x21;

// Written by the exception handler between two instructions of the guarded code.
constinit bool guarded = false;
constinit ExceptionCounts guarded_counts;

void CompilerBarrier() { std::atomic_signal_fence(std::memory_order_seq_cst); }

bool IsWithin(std::uint64_t address, const char* start, const char* end) {
  return address >= reinterpret_cast<std::uint64_t>(start) &&
         address < reinterpret_cast<std::uint64_t>(end);
}

bool IsInProbe(const ExceptionFrame& frame) {
  return IsWithin(frame.elr, probes_start, probes_end);
}

bool IsOutsideImage(const ExceptionFrame& frame) {
  return !IsWithin(frame.elr, _start, __image_end);
}

std::uint64_t& CounterOf(const ExceptionFrame& frame, std::uint64_t kind, std::uint64_t syndrome) {
  if (kind == kSystemError) return guarded_counts.system;
  if (IsOutsideImage(frame)) return guarded_counts.fetch;
  const std::uint64_t exception_class = syndrome >> 26 & 0x3f;
  if (exception_class == kUndefined) return guarded_counts.undefined;
  if (exception_class != kDataAbort) return guarded_counts.other;
  const std::uint64_t fault_status = syndrome & 0x3f;
  if (fault_status == kExternalAbort) return guarded_counts.external;
  if (fault_status == kAlignmentFault) return guarded_counts.alignment;
  return guarded_counts.other;
}

}  // namespace

extern "C" void HandleException(ExceptionFrame& frame, std::uint64_t kind) {
  std::uint64_t syndrome;
  std::uint64_t address;
  asm("mrs %0, esr_el1" : "=r"(syndrome));
  asm("mrs %0, far_el1" : "=r"(address));
  const bool ends_probe = IsInProbe(frame) || IsOutsideImage(frame);
  const bool survivable = kind == kSystemError || (kind == kSynchronous && ends_probe);
  if (!guarded || !survivable) {
    guarded = false;
    Fail("exception vector=", kind, " esr=", Hex{syndrome}, " elr=", Hex{frame.elr},
         " far=", Hex{address}, " lr=", Hex{frame.x[30]});
  }
  ++CounterOf(frame, kind, syndrome);
  if (ends_probe) frame.elr = frame.x[30];
}

ExceptionGuard::ExceptionGuard() {
  guarded_counts = {};
  guarded = true;
  CompilerBarrier();
}

ExceptionGuard::~ExceptionGuard() {
  CompilerBarrier();
  guarded = false;
}

ExceptionCounts ExceptionGuard::counts() const {
  CompilerBarrier();
  return guarded_counts;
}

}  // namespace guest
