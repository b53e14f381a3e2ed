// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/cpu_set.h"

#include <doctest/doctest.h>

namespace microvm {
namespace {

TEST_CASE("sets of CPUs are read and written as the kernel writes them") {
  CHECK(ParseCpuList("0-2,5,7-8") == CpuSet{0, 1, 2, 5, 7, 8});
  CHECK(ParseCpuList("").empty());
  CHECK(ParseCpuList("(null)").empty());
  CHECK(ParseCpuList("1,x,3-,4") == CpuSet{1, 4});
  CHECK(ParseCpuList("0-4294967295").empty());
  CHECK(FormatCpuList({0, 1, 2, 5, 7, 8}) == "0-2,5,7-8");
  CHECK(FormatCpuList({}) == "");
}

}  // namespace
}  // namespace microvm
