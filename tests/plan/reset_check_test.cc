// SPDX-License-Identifier: Apache-2.0
#include "vmm/plan/reset_check.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "tests/plan/plan_input.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;

constexpr auto kWrite = ResetStep::Action::kWrite;

DeviceFacts Facts(const std::vector<ResetStep>& recipe) {
  DeviceFacts facts = fakes::CanFacts();  // one region of 0x6000 bytes
  facts.config.reset.recipe = recipe;
  return facts;
}

TEST_CASE("a required reset is the kernel's or a recipe's") {
  DeviceFacts facts = Facts({});
  facts.config.reset.policy = ResetPolicy::kRequired;
  CHECK(Contains(ChainOf([&] { CheckReset(facts); }),
                 "ff070000.canfd: reset = \"required\", but the kernel has no reset function"));
  facts.can_reset = true;
  CHECK_NOTHROW(CheckReset(facts));
  facts.can_reset = false;
  facts.config.reset.recipe = {{.action = kWrite}};
  CHECK_NOTHROW(CheckReset(facts));
}

TEST_CASE("an optional reset need not exist") { CHECK_NOTHROW(CheckReset(Facts({}))); }

TEST_CASE("a recipe's steps lie within the device's regions") {
  CHECK_NOTHROW(CheckReset(Facts({{.action = kWrite, .offset = 0x5ffc}})));
  CHECK_NOTHROW(CheckReset(Facts({{.action = ResetStep::Action::kDelay, .region = 9, .us = 1}})));
  CHECK(Contains(ChainOf([] { CheckReset(Facts({{.action = kWrite, .region = 1}})); }),
                 "step 1 of its recipe: there is no region 1, the device has 1"));
  CHECK(Contains(ChainOf([] {
                   CheckReset(Facts({{.action = kWrite}, {.action = kWrite, .offset = 0x6000}}));
                 }),
                 "step 2 of its recipe: offset 0x6000 is outside region 0 of 0x6000 bytes"));
  CHECK(Contains(
      ChainOf([] { CheckReset(Facts({{.action = kWrite, .offset = 0x5ffc, .size_bytes = 8}})); }),
      "offset 0x5ffc is outside"));
  CHECK(Contains(ChainOf([] { CheckReset(Facts({{.action = kWrite, .offset = INT64_MAX - 3}})); }),
                 "is outside region 0"));
}

TEST_CASE("the plan carries the recipe, and a wrong one is a conflict of the plan") {
  fakes::PlanInput input;
  input.devices = {Facts({{.action = kWrite, .offset = 8}})};
  CHECK(input.Make().devices[0].reset.recipe.size() == 1);
  input.devices = {Facts({{.action = kWrite, .offset = 0x6000}})};
  CHECK(Contains(ChainOf([&] { return input.Make(); }), "is outside region 0"));
}

}  // namespace
}  // namespace microvm
