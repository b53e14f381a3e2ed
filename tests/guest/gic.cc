// SPDX-License-Identifier: Apache-2.0
#include "gic.h"

#include "failure.h"

namespace guest {
namespace {

// The vector has no argument to find its controller by.
constinit Gic* servicing_gic = nullptr;

void FailUnexpected(void* intid, const ExceptionFrame& /*frame*/) {
  Fail("unexpected interrupt intid=", reinterpret_cast<std::uintptr_t>(intid));
}

}  // namespace

extern "C" void HandleIrq(const ExceptionFrame& frame) { servicing_gic->Service(frame); }

void ServiceInterruptsWith(Gic& gic) { servicing_gic = &gic; }

Gic::Gic(const GicFacts& facts) : facts_(facts) {
  for (std::uintptr_t intid = 0; intid < handlers_.size(); ++intid) {
    handlers_[intid] = {&FailUnexpected, reinterpret_cast<void*>(intid)};
  }
}

}  // namespace guest
