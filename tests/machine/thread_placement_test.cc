// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/thread_placement.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

VmConfig Machine(std::vector<unsigned> affinity, SchedulingPolicy policy, bool realtime) {
  VmConfig config;
  config.cpu.count = 2;
  config.cpu.affinity = std::move(affinity);
  config.cpu.policy = policy;
  config.cpu.priority = policy == SchedulingPolicy::kOther ? 0 : 50;
  config.realtime.enabled = realtime;
  return config;
}

TEST_CASE("the loop is left where it is, unless a profile keeps CPUs for vCPUs") {
  const CpuSet online{0, 1, 2, 3};
  const OwnThread plain = PlanOwnThread(Machine({2, 3}, SchedulingPolicy::kFifo, false), online);
  CHECK(plain.cpus.empty());
  CHECK_FALSE(plain.priority);
  VmConfig config = Machine({2, 3}, SchedulingPolicy::kFifo, true);
  CHECK(PlanOwnThread(config, online).cpus == std::vector<unsigned>{0, 1});
  config.realtime.housekeeping = {1};
  CHECK(PlanOwnThread(config, online).cpus == std::vector<unsigned>{1});
  CHECK_FALSE(PlanOwnThread(config, online).priority);
}

TEST_CASE("where real-time vCPUs can have all CPUs, the loop is above them") {
  const OwnThread pinned =
      PlanOwnThread(Machine({0, 1}, SchedulingPolicy::kRoundRobin, true), {0, 1});
  CHECK(pinned.cpus.empty());
  CHECK(pinned.priority == 51);
  CHECK(pinned.policy == SchedulingPolicy::kRoundRobin);
  CHECK(PlanOwnThread(Machine({}, SchedulingPolicy::kFifo, false), {0, 1}).priority == 51);
  CHECK_FALSE(PlanOwnThread(Machine({}, SchedulingPolicy::kFifo, false), {0, 1, 2}).priority);
  CHECK_FALSE(PlanOwnThread(Machine({0, 1}, SchedulingPolicy::kOther, false), {0, 1}).priority);
  // A host that does not tell which CPUs it has.
  CHECK_FALSE(PlanOwnThread(Machine({}, SchedulingPolicy::kFifo, false), {}).priority);
}

TEST_CASE("without a priority above the vCPUs' such a machine is refused") {
  VmConfig config = Machine({0, 1}, SchedulingPolicy::kFifo, false);
  config.cpu.priority = 99;
  CHECK(fakes::Contains(fakes::ChainOf([&] {
                          static_cast<void>(PlanOwnThread(config, {0, 1}));
                        }),
                        "cpu.priority = 99 leaves none above it"));
}

}  // namespace
}  // namespace microvm
