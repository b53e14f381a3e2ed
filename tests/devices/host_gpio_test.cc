// SPDX-License-Identifier: Apache-2.0
#include "devices/gpio/host_gpio.h"

#include <doctest/doctest.h>
#include <linux/gpio.h>

#include <cerrno>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"
#include "tests/fakes/host_tree.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;

// A host with two chips; the second's last line is somebody's, and two of its names are the same.
struct GpioHost {
  GpioHost() {
    kernel.host.gpio_chips = {
        {.name = "gpiochip0", .label = "soc", .lines = {{}, {.name = "LED"}, {.output = true}}},
        {.name = "gpiochip10",
         .label = "9030000.pl061",
         .lines = {{.name = "A"}, {.name = "A"}, {.consumer = "sysfs"}}}};
    for (const auto& chip : kernel.host.gpio_chips) {
      host.Write("sys/bus/gpio/devices/" + chip.name, "");
    }
  }
  std::vector<std::vector<FoundGpioLine>> Find(const std::vector<GpioConfig>& gpios) {
    return FindGpioLines(kernel, host.root(), gpios);
  }
  std::string Complaint(const std::vector<GpioLineConfig>& lines) {
    return ChainOf([&] { Find({{.lines = lines}}); });
  }

  fakes::FakeKernel kernel;
  fakes::HostTree host;
};

TEST_CASE("a chip is found by name, path or label, a line by number or name") {
  GpioHost host;
  const auto found = host.Find({{.lines = {{"gpiochip0", "1"}, {"/dev/gpiochip0", "2"}}},
                                {.lines = {{"soc", "0"}, {"9030000.pl061", "1"}}}});
  REQUIRE(found.size() == 2);
  CHECK(found[0][0].chip == "gpiochip0");
  CHECK(found[0][0].offset == 1);
  CHECK(found[0][0].name == "LED");
  CHECK_FALSE(found[0][0].is_output);
  CHECK(found[0][1].is_output);
  CHECK(found[1][1].chip == "gpiochip10");
  CHECK(host.Find({{.lines = {{"soc", "LED"}}}})[0][0].offset == 1);
  CHECK(host.kernel.Live() == std::vector<std::string>{});
}

TEST_CASE("every line that cannot be had is told at once, with what can be done") {
  GpioHost host;
  const std::string chain = host.Complaint({{"soc", "LED"},
                                            {"gpiochip0", "1"},
                                            {"none", "1"},
                                            {"soc", "3"},
                                            {"soc", "RED"},
                                            {"gpiochip10", "A"},
                                            {"gpiochip10", "2"}});
  for (const char* part :
       {"gpio: line 'gpiochip0:1': it is the same line as 'soc:LED'\n",
        "gpio: line 'none:1': the host has no GPIO chip 'none'\n",
        "gpio: line 'soc:3': gpiochip0 has the lines 0 to 2\n",
        "gpio: line 'soc:RED': gpiochip0 has no line of that name\n",
        "gpio: line 'gpiochip10:A': gpiochip10 has two lines of that name, 0 and 1\n",
        "gpio: line 'gpiochip10:2': it is in use by 'sysfs'\n", "gpiodetect shows those it has",
        "gpioinfo gpiochip0 shows its lines", "write its number",
        "end what has it, or leave the line out"}) {
    CHECK_MESSAGE(Contains(chain, part), part, chain);
  }
  CHECK(host.kernel.Live() == std::vector<std::string>{});
}

TEST_CASE("a chip that this user may not use is told") {
  GpioHost host;
  host.kernel.host.gpio_error = EACCES;
  CHECK(Contains(host.Complaint({{"gpiochip0", "1"}}),
                 "this user may not use the GPIO chip gpiochip0"));
}

TEST_CASE("a host without GPIO chips has none of that name") {
  fakes::FakeKernel kernel;
  const fakes::HostTree host;
  CHECK(Contains(ChainOf([&] {
                   FindGpioLines(kernel, host.root(), {{.lines = {{"gpiochip0", "1"}}}});
                 }),
                 "the host has no GPIO chip 'gpiochip0'"));
}

TEST_CASE("lines are requested as they are, under the consumer's name, and released") {
  GpioHost host;
  {
    const auto opened =
        OpenGpioLines(host.kernel, host.host.root(),
                      {{.consumer = "microvm:vm", .lines = {{"soc", "0"}, {"soc", "2"}}}});
    CHECK(host.kernel.gpio_line(0, 0).consumer == "microvm:vm");
    CHECK(host.kernel.gpio_line(0, 0).flags == 0);
    CHECK_FALSE(opened[0][0].pin.is_output());
    CHECK(opened[0][1].pin.is_output());
  }
  CHECK(host.kernel.gpio_line(0, 0).consumer.empty());
  CHECK(host.kernel.gpio_line(0, 2).output);
  CHECK(host.kernel.Live() == std::vector<std::string>{});
  CHECK(host.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("a line that is taken before it is requested is told with who has it") {
  GpioHost host;
  host.kernel.host.gpio_chips[0].lines[0].taken_in_between = true;
  const std::string chain = ChainOf([&] {
    OpenGpioLines(host.kernel, host.host.root(), {{.consumer = "vm", .lines = {{"soc", "0"}}}});
  });
  CHECK(Contains(chain, "gpio: line 'soc:0'\n"));
  CHECK(Contains(chain, "it is in use by 'a rival'\n"));
  CHECK(host.kernel.Live() == std::vector<std::string>{});
}

TEST_CASE("direction, bias, edges and value are the line's") {
  GpioHost host;
  auto opened = OpenGpioLines(
      host.kernel, host.host.root(),
      {{.consumer = "vm",
        .lines = {{.chip = "soc", .line = "0", .bias = GpioBias::kPullUp}, {"soc", "2"}}}});
  GpioPin& pin = opened[0][0].pin;
  const auto line = [&] { return host.kernel.gpio_line(0, 0); };
  CHECK(pin.Watch(GpioEdges::kRising));
  CHECK(line().flags ==
        (GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_BIAS_PULL_UP));
  CHECK(pin.Read() == false);
  host.kernel.PullGpio(0, 0, true);
  CHECK(pin.Read() == true);
  CHECK(pin.MakeOutput(true));
  CHECK(line().output);
  CHECK(line().high);
  CHECK(pin.Drive(false));
  CHECK_FALSE(line().high);
  pin.Restore();
  CHECK_FALSE(line().output);
  CHECK(line().flags == (GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_BIAS_PULL_UP));
}

TEST_CASE("events are taken a bounded number at a time, and those of an earlier time never") {
  GpioHost host;
  auto opened =
      OpenGpioLines(host.kernel, host.host.root(), {{.consumer = "vm", .lines = {{"soc", "0"}}}});
  GpioPin& pin = opened[0][0].pin;
  CHECK(pin.Watch(GpioEdges::kBoth));
  CHECK(pin.TakeEvents().count == 0);
  CHECK_FALSE(pin.TakeEvents().gone);
  for (int count = 0; count < 20; ++count) host.kernel.PullGpio(0, 0, count % 2 == 0);
  GpioEvents events = pin.TakeEvents();
  CHECK(events.count == GpioLine::kEventsTaken);
  CHECK(events.edges == GpioEdges::kBoth);
  CHECK(pin.TakeEvents().count == 4);
  host.kernel.PullGpio(0, 0, true);
  CHECK(pin.MakeInput());
  CHECK(pin.Watch(GpioEdges::kRising));
  CHECK(pin.TakeEvents().count == 0);
}

TEST_CASE("a line without an interrupt is an input whose edges cannot be watched") {
  GpioHost host;
  host.kernel.host.gpio_chips[0].lines[0].has_interrupt = false;
  auto opened =
      OpenGpioLines(host.kernel, host.host.root(), {{.consumer = "vm", .lines = {{"soc", "0"}}}});
  CHECK_FALSE(opened[0][0].pin.Watch(GpioEdges::kRising));
  CHECK(opened[0][0].pin.MakeInput());
}

}  // namespace
}  // namespace microvm
