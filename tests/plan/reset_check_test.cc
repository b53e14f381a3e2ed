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
  CHECK(Contains(ChainOf([&] { CheckReset(facts, 0); }),
                 "ff070000.canfd: reset = \"required\", but the kernel has no reset function"));
  facts.can_reset = true;
  CHECK_NOTHROW(CheckReset(facts, 0));
  facts.can_reset = false;
  facts.config.reset.recipe = {{.action = kWrite}};
  CHECK_NOTHROW(CheckReset(facts, 0));
}

TEST_CASE("a recipe that writes nothing resets nothing") {
  DeviceFacts facts =
      Facts({{.action = ResetStep::Action::kDelay, .us = 1}, {.action = ResetStep::Action::kPoll}});
  CHECK_NOTHROW(CheckReset(facts, 0));
  facts.config.reset.policy = ResetPolicy::kRequired;
  CHECK(Contains(ChainOf([&] { CheckReset(facts, 0); }),
                 "the kernel has no reset function for it, and its recipe writes nothing"));
}

TEST_CASE("a step of a width that the device does not take is refused, as it could end the host") {
  const DeviceFacts facts = Facts({{.action = kWrite, .size_bytes = 1}});
  CHECK_NOTHROW(CheckReset(facts, 0));
  CHECK_NOTHROW(CheckReset(facts, 1));
  CHECK(Contains(ChainOf([&] { CheckReset(facts, 4); }), "size 1 is not the reg-io-width of"));
}

TEST_CASE("an optional reset need not exist") { CHECK_NOTHROW(CheckReset(Facts({}), 0)); }

TEST_CASE("a recipe's steps lie within the device's regions") {
  CHECK_NOTHROW(CheckReset(Facts({{.action = kWrite, .offset = 0x5ffc}}), 0));
  CHECK_NOTHROW(
      CheckReset(Facts({{.action = ResetStep::Action::kDelay, .region = 9, .us = 1}}), 0));
  CHECK(Contains(ChainOf([] { CheckReset(Facts({{.action = kWrite, .region = 1}}), 0); }),
                 "platform.recipe: there is no region 1, 'ff070000.canfd' has 1"));
  CHECK(Contains(ChainOf([] {
                   CheckReset(Facts({{.action = kWrite},
                                     {.action = kWrite,
                                      .offset = 0x6000,
                                      .place = "vm.toml:12:10: platform.recipe.offset"}}),
                              0);
                 }),
                 "vm.toml:12:10: platform.recipe.offset: 4 bytes at 0x6000 are not inside region 0 "
                 "of 'ff070000.canfd', which has 0x6000\n"));
  CHECK(Contains(ChainOf([] {
                   CheckReset(Facts({{.action = kWrite, .offset = 0x5ffc, .size_bytes = 8}}), 0);
                 }),
                 "8 bytes at 0x5ffc are not inside"));
  CHECK(
      Contains(ChainOf([] { CheckReset(Facts({{.action = kWrite, .offset = INT64_MAX - 3}}), 0); }),
               "are not inside region 0"));
}

TEST_CASE(
    "a recipe reaches a region that the guest does not get: it may be what resets the device") {
  fakes::PlanInput input;
  DeviceFacts facts = Facts({{.action = kWrite, .offset = 8}});
  facts.config.drop = {"reg:0"};
  input.devices = {facts};
  const VmPlan plan = input.Make();
  CHECK(plan.devices[0].regions.empty());
  CHECK(plan.devices[0].reset.recipe.size() == 1);
}

TEST_CASE("the plan carries the recipe, and a wrong one is a conflict of the plan") {
  fakes::PlanInput input;
  input.devices = {Facts({{.action = kWrite, .offset = 8}})};
  CHECK(input.Make().devices[0].reset.recipe.size() == 1);
  input.devices = {Facts({{.action = kWrite, .offset = 0x6000}})};
  CHECK(Contains(ChainOf([&] { return input.Make(); }), "are not inside region 0"));
}

}  // namespace
}  // namespace microvm
