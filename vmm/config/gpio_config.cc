// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/gpio_config.h"

#include <algorithm>
#include <array>
#include <set>

#include "vmm/config/toml_reader.h"

namespace microvm {
namespace {

constexpr std::array<std::string_view, 2> kModels = {"virtio", "pl061"};
constexpr std::array<std::string_view, 3> kDirections = {"in", "out", "any"};
constexpr std::array<std::string_view, 4> kEdges = {"none", "rising", "falling", "both"};
constexpr std::array<std::string_view, 4> kBiases = {"as-is", "disabled", "pull-up", "pull-down"};

// linux/gpio.h: GPIO_MAX_NAME_SIZE, with its NUL.
constexpr std::size_t kConsumerBytes = 31;
constexpr std::size_t kNameBytes = 63;

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// "CHIP:LINE"; a label may have colons of its own.
void ReadPlace(TomlReader& reader, GpioLineConfig& line) {
  reader.Require("line");
  const auto text = reader.String("line");
  if (!text) return;
  const std::size_t colon = text->rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text->size()) {
    reader.Report("line", "\"" + *text +
                              "\": must be CHIP:LINE, such as \"gpiochip0:11\"; gpioinfo shows "
                              "the host's");
    return;
  }
  line.chip = text->substr(0, colon);
  line.line = text->substr(colon + 1);
}

GpioLineConfig ReadLine(TomlReader& reader) {
  GpioLineConfig line;
  ReadPlace(reader, line);
  line.direction = WordOr(reader, "direction", kDirections, GpioDirection::kAny);
  const bool only_output = line.direction == GpioDirection::kOut;
  line.edges = WordOr(reader, "edges", kEdges, only_output ? GpioEdges::kNone : GpioEdges::kBoth);
  if (only_output && line.edges != GpioEdges::kNone) {
    reader.Report("edges", R"(is for inputs; leave it out, or write direction = "any")");
  }
  line.bias = WordOr(reader, "bias", kBiases, GpioBias::kAsIs);
  line.name = reader.String("name").value_or("");
  if (line.name.size() > kNameBytes || !IsPrintable(line.name)) {
    reader.Report("name", "must be at most 63 printable ASCII characters");
  }
  reader.Finish();
  return line;
}

void ReadLines(TomlReader& reader, GpioConfig& gpio, std::set<std::string>& taken) {
  reader.Require("lines");
  std::set<std::string> names;
  const bool given = reader.Has("lines");
  for (TomlReader& entry : reader.TablesOrStrings("lines", "line")) {
    gpio.lines.push_back(ReadLine(entry));
    const GpioLineConfig& line = gpio.lines.back();
    if (!line.chip.empty() && !taken.insert(ToString(line)).second) {
      entry.Report("line", "\"" + ToString(line) + "\": the same line twice");
    }
    // virtio 1.2, 5.18.6.1: unique within a device.
    if (!line.name.empty() && !names.insert(line.name).second) {
      entry.Report("name", "\"" + line.name + "\": the same name twice");
    }
  }
  if (given && gpio.lines.empty()) reader.Report("lines", "is empty; it must list CHIP:LINE");
  const std::size_t most = gpio.model == GpioModel::kPl061 ? kPl061Lines : kVirtioGpioLines;
  if (gpio.lines.size() <= most) return;
  reader.Report("lines", std::to_string(gpio.lines.size()) + " lines, but model = \"" +
                             std::string(ToString(gpio.model)) + "\" has " + std::to_string(most) +
                             " at most; write a second [[gpio]]");
}

}  // namespace

std::vector<GpioConfig> ReadGpios(TomlReader& config, const std::string& name) {
  std::vector<GpioConfig> gpios;
  std::set<std::string> taken;
  for (TomlReader& reader : config.Tables("gpio")) {
    GpioConfig gpio;
    gpio.model = WordOr(reader, "model", kModels, GpioModel::kVirtio);
    gpio.consumer =
        reader.String("consumer").value_or(("microvm:" + name).substr(0, kConsumerBytes));
    if (gpio.consumer.empty() || gpio.consumer.size() > kConsumerBytes ||
        !IsPrintable(gpio.consumer)) {
      reader.Report("consumer", "must be 1 to 31 printable ASCII characters");
    }
    ReadLines(reader, gpio, taken);
    reader.Finish();
    gpios.push_back(std::move(gpio));
  }
  return gpios;
}

std::string_view ToString(GpioModel model) { return kModels[static_cast<std::size_t>(model)]; }

std::string_view ToString(GpioDirection direction) {
  return kDirections[static_cast<std::size_t>(direction)];
}

std::string_view ToString(GpioEdges edges) { return kEdges[static_cast<std::size_t>(edges)]; }

std::string_view ToString(GpioBias bias) { return kBiases[static_cast<std::size_t>(bias)]; }

std::string ToString(const GpioLineConfig& line) { return line.chip + ":" + line.line; }

}  // namespace microvm
