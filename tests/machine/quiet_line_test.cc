// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/quiet_line.h"

#include <doctest/doctest.h>

#include <vector>

namespace microvm {
namespace {

TEST_CASE("a line that interrupts is never probed, one that stops is at the second look") {
  QuietLine line;
  for (std::uint64_t count = 0; count < 10; ++count) CHECK_FALSE(line.ShouldProbe(count));
  CHECK(line.ShouldProbe(9));
  CHECK(line.count() == 9U);
}

TEST_CASE("a line that was found unmasked is left alone until it interrupts again") {
  QuietLine line;
  CHECK_FALSE(line.ShouldProbe(5));
  CHECK(line.ShouldProbe(5));
  line.FoundUnmasked();
  for (int look = 0; look < 100; ++look) CHECK_FALSE(line.ShouldProbe(5));
  CHECK_FALSE(line.ShouldProbe(6));
  CHECK(line.ShouldProbe(6));
}

TEST_CASE("a line that the guest has in hand is probed more and more rarely, but always again") {
  QuietLine line;
  CHECK_FALSE(line.ShouldProbe(5));
  std::vector<int> gaps;
  for (int probes = 0; probes < 9; ++probes) {
    int gap = 0;
    while (!line.ShouldProbe(5)) ++gap;
    gaps.push_back(gap);
    line.FoundInHand();
  }
  CHECK(gaps == std::vector<int>{0, 1, 2, 4, 8, 16, 32, 64, 64});
  CHECK_FALSE(line.ShouldProbe(6));
  CHECK(line.ShouldProbe(6));
}

TEST_CASE("a line that is unmasked and stays quiet is probed again, until it is found so") {
  QuietLine line;
  CHECK_FALSE(line.ShouldProbe(5));
  CHECK(line.ShouldProbe(5));
  CHECK(line.ShouldProbe(5));
  line.FoundUnmasked();
  CHECK_FALSE(line.ShouldProbe(5));
}

TEST_CASE("a line whose count the host does not tell is never probed") {
  QuietLine line;
  for (int look = 0; look < 5; ++look) CHECK_FALSE(line.ShouldProbe(std::nullopt));
}

}  // namespace
}  // namespace microvm
