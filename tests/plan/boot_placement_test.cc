// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"
#include "vmm/host/error.h"

namespace microvm {
namespace {

using fakes::Contains;
using fakes::PlanInput;

constexpr std::uint64_t kMegabyte = 1U << 20;
constexpr std::uint64_t kRamStart = 0x4000'0000;

std::string Complaint(const PlanInput& input) {
  return fakes::ChainOf([&] { return input.Make(); });
}

bool Fits(const PlanInput& input) { return Complaint(input).empty(); }

TEST_CASE("kernel, tree and initrd follow each other in RAM") {
  PlanInput input;
  input.boot.kernel_memory_bytes = 17 * kMegabyte;
  input.boot.initrd_bytes = 5;
  const PlannedBoot boot = input.Make().boot;
  CHECK(boot.kernel.value == kRamStart);
  CHECK(boot.fdt == AddressRange({kRamStart + 18 * kMegabyte}, 2 * kMegabyte));
  CHECK(boot.initrd == AddressRange({kRamStart + 20 * kMegabyte}, 5));
}

TEST_CASE("the kernel starts at its text offset") {
  PlanInput input;
  input.boot.text_offset = 0x8'0000;
  input.boot.kernel_memory_bytes = 2 * kMegabyte;
  const PlannedBoot boot = input.Make().boot;
  CHECK(boot.kernel.value == kRamStart + 0x8'0000);
  CHECK(boot.fdt.start().value == kRamStart + 4 * kMegabyte);
}

TEST_CASE("without an initrd none is placed") { CHECK_FALSE(PlanInput().Make().boot.initrd); }

TEST_CASE("a kernel and its tree fit exactly, and one byte more does not") {
  PlanInput input;
  input.config.memory.size_bytes = 16 * kMegabyte;
  input.boot.kernel_memory_bytes = 14 * kMegabyte;
  CHECK(Fits(input));
  CHECK(input.Make().boot.fdt.last().value == kRamStart + 16 * kMegabyte - 1);
  ++input.boot.kernel_memory_bytes;
  CHECK_FALSE(Fits(input));
}

TEST_CASE("an initrd fits exactly, and one byte more does not") {
  PlanInput input;
  input.config.memory.size_bytes = 16 * kMegabyte;
  input.boot.kernel_memory_bytes = 4 * kMegabyte;
  input.boot.initrd_bytes = 10 * kMegabyte;
  CHECK(Fits(input));
  ++input.boot.initrd_bytes;
  CHECK(Complaint(input) ==
        "the boot files do not fit in the guest's memory: 20 MiB are needed (kernel with its BSS "
        "4 MiB, initrd 10 MiB), memory.size is 16 MiB\n"
        "to fix it:\n  make memory.size larger\n");
}

TEST_CASE("absurd sizes in a kernel's header are refused as too large, none wraps") {
  for (const std::uint64_t absurd :
       {UINT64_MAX, UINT64_MAX - kRamStart, std::uint64_t{1} << 63, 128 * kMegabyte + 1}) {
    CAPTURE(absurd);
    PlanInput kernel;
    kernel.boot.kernel_memory_bytes = absurd;
    CHECK(Contains(Complaint(kernel), "do not fit"));
    PlanInput offset;
    offset.boot.text_offset = absurd;
    CHECK(Contains(Complaint(offset), "do not fit"));
    PlanInput initrd;
    initrd.boot.initrd_bytes = absurd;
    CHECK(Contains(Complaint(initrd), "do not fit"));
    PlanInput both;
    both.boot.text_offset = absurd;
    both.boot.kernel_memory_bytes = UINT64_MAX - absurd + 1;
    CHECK(Contains(Complaint(both), "do not fit"));
  }
}

TEST_CASE("RAM at the top of the host's addresses still has a place for everything") {
  PlanInput input;
  input.limits.ipa_bits = 32;
  input.config.memory.size_bytes = std::uint64_t{3} << 30;
  input.boot.initrd_bytes = (std::uint64_t{3} << 30) - 20 * kMegabyte;
  CHECK(Fits(input));
  input.boot.initrd_bytes += 1;
  CHECK_FALSE(Fits(input));
}

}  // namespace
}  // namespace microvm
