// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace microvm {

class TomlReader;

// What a guest is shown of its lines.
enum class GpioModel { kVirtio, kPl061 };

enum class GpioDirection : std::uint8_t { kIn, kOut, kAny };

// A set of edges: bit 0 is the rising one, bit 1 the falling one.
enum class GpioEdges : std::uint8_t { kNone = 0, kRising = 1, kFalling = 2, kBoth = 3 };
constexpr GpioEdges operator|(GpioEdges a, GpioEdges b) {
  return static_cast<GpioEdges>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr GpioEdges operator&(GpioEdges a, GpioEdges b) {
  return static_cast<GpioEdges>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}

enum class GpioBias : std::uint8_t { kAsIs, kDisabled, kPullUp, kPullDown };

// A line of the host's, and what the guest may do with it.
struct GpioLineConfig {
  std::string chip;  // "gpiochip0", "/dev/gpiochip0" or the chip's label
  std::string line;  // its number or name
  GpioDirection direction = GpioDirection::kAny;
  GpioEdges edges = GpioEdges::kBoth;  // that may interrupt
  GpioBias bias = GpioBias::kAsIs;
  std::string name = {};  // what the guest calls it; may be empty
};

// A GPIO controller of the guest's, made of single lines of the host's.
struct GpioConfig {
  GpioModel model = GpioModel::kVirtio;
  std::string consumer;  // what the host's kernel says has the lines
  std::vector<GpioLineConfig> lines;
};

// A PL061 has that many (Arm DDI 0190, 1.1); a virtio device of ours at most these.
inline constexpr std::size_t kPl061Lines = 8;
inline constexpr std::size_t kVirtioGpioLines = 64;

// The [[gpio]] tables of the machine `name`.
std::vector<GpioConfig> ReadGpios(TomlReader& config, const std::string& name);

// The names as they stand in TOML.
std::string_view ToString(GpioModel model);
std::string_view ToString(GpioDirection direction);
std::string_view ToString(GpioEdges edges);
std::string_view ToString(GpioBias bias);
// "gpiochip0:11".
std::string ToString(const GpioLineConfig& line);

}  // namespace microvm
