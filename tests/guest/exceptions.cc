// SPDX-License-Identifier: Apache-2.0
#include "exceptions.h"

#include <atomic>

#include "failure.h"

namespace guest {
namespace {

constexpr std::uint64_t kSynchronous = 4;  // vectors.S numbers the vectors in table order

// Written by the exception handler between two instructions of the guarded code.
struct Guarded {
  bool active = false;
  std::uint64_t count = 0;
  Exception last;
};
constinit Guarded guarded;

void CompilerBarrier() { std::atomic_signal_fence(std::memory_order_seq_cst); }

Exception ReadException() {
  Exception exception;
  asm("mrs %0, esr_el1" : "=r"(exception.syndrome));
  asm("mrs %0, far_el1" : "=r"(exception.address));
  return exception;
}

// An exception in code that was jumped to: the fetch aborted, or what was fetched is no
// instruction of ours.
bool LeftTheImage(const ExceptionFrame& frame, const Exception& exception) {
  const ExceptionClass kind = exception.exception_class();
  if (kind == ExceptionClass::kInstructionAbort || kind == ExceptionClass::kPcAlignment)
    return true;
  extern const char image_start asm("_start");
  extern const char image_end asm("__image_end");
  const auto start = reinterpret_cast<std::uint64_t>(&image_start);
  const auto end = reinterpret_cast<std::uint64_t>(&image_end);
  return frame.elr < start || frame.elr >= end;
}

}  // namespace

extern "C" void HandleException(ExceptionFrame& frame, std::uint64_t kind) {
  const Exception exception = ReadException();
  if (kind != kSynchronous || !guarded.active) {
    Fail("exception vector=", kind, " esr=", Hex{exception.syndrome}, " elr=", Hex{frame.elr},
         " far=", Hex{exception.address}, " lr=", Hex{frame.x[30]});
  }
  ++guarded.count;
  guarded.last = exception;
  frame.elr = LeftTheImage(frame, exception) ? frame.x[30] : frame.elr + 4;
}

ExceptionGuard::ExceptionGuard() {
  guarded = {.active = true, .count = 0, .last = {}};
  CompilerBarrier();
}

ExceptionGuard::~ExceptionGuard() {
  CompilerBarrier();
  guarded.active = false;
}

std::uint64_t ExceptionGuard::count() const {
  CompilerBarrier();
  return guarded.count;
}

Exception ExceptionGuard::last() const {
  CompilerBarrier();
  return guarded.last;
}

}  // namespace guest
