// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>

#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

using Action = ResetStep::Action;

// `lines` in a [[platform]] table that begins at line 6 of a file called vm.toml.
VmConfig ParseWith(const std::string& lines) {
  return ParseVmConfig(
      "[memory]\nsize = \"4M\"\n[boot]\nkernel = \"Image\"\n[[platform]]\nhost = \"d\"\n" + lines,
      "vm.toml");
}

std::string Problems(const std::string& lines) {
  try {
    ParseWith(lines);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("without a word a reset is optional, and there is no recipe") {
  const ResetConfig reset = ParseWith("").platform[0].reset;
  CHECK(reset.policy == ResetPolicy::kOptional);
  CHECK(reset.recipe.empty());
}

TEST_CASE("a recipe is read step by step") {
  const ResetConfig reset = ParseWith(
                                "reset = \"required\"\n"
                                "[[platform.recipe]]\nwrite = 1\noffset = 0x10\n"
                                "[[platform.recipe]]\nregion = 2\noffset = 6\nsize = 2\n"
                                "poll = 0x8000\nmask = 0xc000\ntimeout_us = 500\n"
                                "[[platform.recipe]]\ndelay_us = 20\n")
                                .platform[0]
                                .reset;
  CHECK(reset.policy == ResetPolicy::kRequired);
  REQUIRE(reset.recipe.size() == 3);
  const ResetStep& write = reset.recipe[0];
  CHECK(write.action == Action::kWrite);
  CHECK(write.region == 0);
  CHECK(write.offset == 0x10);
  CHECK(write.size_bytes == 4);
  CHECK(write.value == 1);
  CHECK(write.place == "vm.toml:10:10: platform.recipe.offset");
  CHECK(write.mask == 0xffff'ffff);
  const ResetStep& poll = reset.recipe[1];
  CHECK(poll.action == Action::kPoll);
  CHECK(poll.region == 2);
  CHECK(poll.offset == 6);
  CHECK(poll.size_bytes == 2);
  CHECK(poll.value == 0x8000);
  CHECK(poll.mask == 0xc000);
  CHECK(poll.us == 500);
  CHECK(reset.recipe[2].action == Action::kDelay);
  CHECK(reset.recipe[2].us == 20);
}

TEST_CASE("a poll ends, and a register of eight bytes may have its top bit set") {
  const ResetConfig reset =
      ParseWith("recipe = [{ poll = -1, offset = 8, size = 8 }, { write = 0, offset = 0 }]\n")
          .platform[0]
          .reset;
  CHECK(reset.recipe[0].us == 100'000);
  CHECK(reset.recipe[0].value == UINT64_MAX);
  CHECK(reset.recipe[0].mask == UINT64_MAX);
}

TEST_CASE("what is wrong in a recipe is named with its place") {
  CHECK(Problems("reset = \"maybe\"\n") ==
        "vm.toml:7:9: platform.reset: must be one of \"optional\", \"required\", \"none\"");
  CHECK(Problems("recipe = [{ offset = 0 }]\n") ==
        "vm.toml:7:11: platform.recipe.write: a step has one of 'write', 'poll' and 'delay_us'");
  CHECK(Problems("recipe = [{ write = 1, poll = 1, offset = 0 }]\n") ==
        "vm.toml:7:21: platform.recipe.write: a step has one of 'write', 'poll' and 'delay_us'");
  CHECK(Problems("recipe = [{ write = 1 }]\n") == "vm.toml:7:11: platform.recipe.offset: missing");
  CHECK(Problems("recipe = [{ write = 1, offset = 2 }]\n") ==
        "vm.toml:7:33: platform.recipe.offset: must be a multiple of the register's size");
  CHECK(Problems("recipe = [{ write = 1, offset = 0, size = 3 }]\n") ==
        "vm.toml:7:43: platform.recipe.size: must be 1, 2, 4 or 8 bytes");
  CHECK(Problems("recipe = [{ write = 256, offset = 0, size = 1 }]\n") ==
        "vm.toml:7:21: platform.recipe.write: does not fit in 1 byte");
  CHECK(Problems("recipe = [{ poll = 3, offset = 0, mask = 1 }]\n") ==
        "vm.toml:7:20: platform.recipe.poll: has bits that 'mask' has not");
  CHECK(Problems("recipe = [{ delay_us = 10000001 }]\n") ==
        "vm.toml:7:24: platform.recipe.delay_us: must be an integer from 1 to 10000000");
  CHECK(Problems("recipe = [{ delay_us = 1, offset = 0 }]\n") ==
        "vm.toml:7:27: platform.recipe.offset: unknown key");
  CHECK(Problems("reset = \"none\"\nrecipe = [{ delay_us = 1 }]\n") ==
        "vm.toml:8:10: platform.recipe: has no use beside reset = \"none\"");
}

TEST_CASE("a recipe has an end") {
  std::string recipe = "recipe = [";
  for (int step = 0; step < 257; ++step) recipe += "{ delay_us = 1 },";
  CHECK(Problems(recipe + "]\n") == "vm.toml:7:10: platform.recipe: has more than 256 steps");
  recipe = "recipe = [";
  for (int step = 0; step < 6; ++step) recipe += "{ delay_us = 10000000 },";
  CHECK(ParseWith(recipe + "]\n").platform[0].reset.recipe.size() == 6);
  CHECK(Problems(recipe + "{ delay_us = 1 }]\n") ==
        "vm.toml:7:10: platform.recipe: may wait for more than 60 s in all: give polls shorter "
        "timeouts");
}

}  // namespace
}  // namespace microvm
