// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/gpio_config.h"

#include <doctest/doctest.h>

#include "tests/fakes/exceptions.h"
#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

using fakes::Contains;

constexpr const char* kAbove =
    "name = \"ecu\"\n[memory]\nsize = \"4M\"\n[boot]\nkernel = \"Image\"\n";

std::string GpioProblems(const std::string& lines) {
  try {
    ParseVmConfig(kAbove + lines, "vm.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string Lines(std::size_t count) {
  std::string text = "lines = [";
  for (std::size_t line = 0; line < count; ++line) text += "\"c:" + std::to_string(line) + "\", ";
  return text + "]\n";
}

TEST_CASE("every key of [[gpio]] is read, lines in short and in full") {
  const VmConfig config = ParseVmConfig(
      std::string(kAbove) +
          "[[gpio]]\nlines = [\"gpiochip0:11\", { line = \"a:b:RESET\", direction = \"in\", "
          "edges = \"rising\", bias = \"pull-up\", name = \"button 1\" }]\n"
          "[[gpio]]\nmodel = \"pl061\"\nconsumer = \"me\"\n"
          "lines = [{ line = \"/dev/gpiochip1:0\", direction = \"out\" }]\n",
      "vm.toml");
  REQUIRE(config.gpios.size() == 2);
  const GpioConfig& first = config.gpios[0];
  CHECK(first.model == GpioModel::kVirtio);
  CHECK(first.consumer == "microvm:ecu");
  REQUIRE(first.lines.size() == 2);
  CHECK(first.lines[0].chip == "gpiochip0");
  CHECK(first.lines[0].line == "11");
  CHECK(first.lines[0].direction == GpioDirection::kAny);
  CHECK(first.lines[0].edges == GpioEdges::kBoth);
  CHECK(first.lines[0].bias == GpioBias::kAsIs);
  CHECK(first.lines[1].chip == "a:b");
  CHECK(first.lines[1].line == "RESET");
  CHECK(first.lines[1].direction == GpioDirection::kIn);
  CHECK(first.lines[1].edges == GpioEdges::kRising);
  CHECK(first.lines[1].bias == GpioBias::kPullUp);
  CHECK(first.lines[1].name == "button 1");
  CHECK(config.gpios[1].model == GpioModel::kPl061);
  CHECK(config.gpios[1].consumer == "me");
  CHECK(config.gpios[1].lines.at(0).edges == GpioEdges::kNone);
}

TEST_CASE("a long machine name is cut to what the kernel keeps of a consumer") {
  const VmConfig config =
      ParseVmConfig("name = \"" + std::string(40, 'n') + "\"\n" + std::string(kAbove).substr(13) +
                        "[[gpio]]\nlines = [\"c:1\"]\n",
                    "vm.toml");
  CHECK(config.gpios.at(0).consumer == "microvm:" + std::string(23, 'n'));
}

TEST_CASE("all that is wrong with [[gpio]] is told at once, with its place") {
  CHECK(GpioProblems("[[gpio]]\nmodel = \"pl06\"\nconsumer = \"\"\nlines = [\n\"gpiochip0\",\n"
                     "{ line = \"c:1\", direction = \"up\" },\n\"c:1\",\n3,\n"
                     "{ line = \"c:2\", direction = \"out\", edges = \"both\" },\n"
                     "{ lines = \"c:3\", name = \"\\n\" }]\nkeys = 1\n") ==
        "vm.toml:7:9: gpio.model: must be one of \"virtio\", \"pl061\"\n"
        "vm.toml:8:12: gpio.consumer: must be 1 to 31 printable ASCII characters\n"
        "vm.toml:10:1: gpio.lines.line: \"gpiochip0\": must be CHIP:LINE, such as "
        "\"gpiochip0:11\"; gpioinfo shows the host's\n"
        "vm.toml:11:29: gpio.lines.direction: must be one of \"in\", \"out\", \"any\"\n"
        "vm.toml:12:1: gpio.lines.line: \"c:1\": the same line twice\n"
        "vm.toml:13:1: gpio.lines: must be a string or a table\n"
        "vm.toml:14:44: gpio.lines.edges: is for inputs; leave it out, or write direction = "
        "\"any\"\n"
        "vm.toml:15:1: gpio.lines.line: missing\n"
        "vm.toml:15:3: gpio.lines.lines: unknown key; did you mean 'line'?\n"
        "vm.toml:15:25: gpio.lines.name: must be at most 63 printable ASCII characters\n"
        "vm.toml:16:1: gpio.keys: unknown key");
}

TEST_CASE("a line belongs to one controller; a name is one line's of it") {
  CHECK(Contains(GpioProblems("[[gpio]]\nlines = [\"c:1\"]\n[[gpio]]\nlines = [\"c:1\"]\n"),
                 "vm.toml:9:10: gpio.lines.line: \"c:1\": the same line twice"));
  CHECK(Contains(GpioProblems("[[gpio]]\nlines = [{ line = \"c:1\", name = \"a\" },\n"
                              "{ line = \"c:2\", name = \"a\" }]\n"),
                 "vm.toml:8:24: gpio.lines.name: \"a\": the same name twice"));
}

TEST_CASE("a controller has as many lines as its model") {
  CHECK(GpioProblems("[[gpio]]\n" + Lines(64)).empty());
  CHECK(
      Contains(GpioProblems("[[gpio]]\n" + Lines(65)), "65 lines, but model = \"virtio\" has 64"));
  CHECK(GpioProblems("[[gpio]]\nmodel = \"pl061\"\n" + Lines(8)).empty());
  CHECK(Contains(GpioProblems("[[gpio]]\nmodel = \"pl061\"\n" + Lines(9)),
                 "9 lines, but model = \"pl061\" has 8 at most; write a second [[gpio]]"));
  CHECK(Contains(GpioProblems("[[gpio]]\n"), "gpio.lines: missing"));
  CHECK(Contains(GpioProblems("[[gpio]]\nlines = []\n"), "gpio.lines: is empty"));
  CHECK(
      Contains(GpioProblems("[[gpio]]\nlines = \"c:1\"\n"), "must be a list of strings or tables"));
}

}  // namespace
}  // namespace microvm
