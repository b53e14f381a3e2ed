// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_gpio.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>

#include "tests/fakes/fake_kernel.h"

namespace microvm::fakes {
namespace {

constexpr std::uint64_t kDirections = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_OUTPUT;
constexpr std::uint64_t kBiases = GPIO_V2_LINE_FLAG_BIAS_PULL_UP |
                                  GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN |
                                  GPIO_V2_LINE_FLAG_BIAS_DISABLED;
constexpr std::uint64_t kEdges = GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING;

template <std::size_t Size>
// NOLINTNEXTLINE(modernize-avoid-c-arrays)
void CopyText(char (&to)[Size], const std::string& text) {
  std::memcpy(to, text.data(), std::min(text.size(), Size - 1));
}

// gpio_v2_line_flags_validate.
bool IsValid(std::uint64_t flags) {
  const bool output = (flags & GPIO_V2_LINE_FLAG_OUTPUT) != 0;
  const bool input = (flags & GPIO_V2_LINE_FLAG_INPUT) != 0;
  if ((flags & ~(kDirections | kBiases | kEdges)) != 0 || (input && output)) return false;
  if ((flags & kEdges) != 0 && !input) return false;
  return std::popcount(flags & kBiases) <= ((flags & kDirections) != 0 ? 1 : 0);
}

}  // namespace

long FakeGpioChip::Ioctl(unsigned long request, void* argument) {
  if (request == GPIO_GET_CHIPINFO_IOCTL) {
    gpiochip_info info{};
    CopyText(info.name, spec_.name);
    CopyText(info.label, spec_.label);
    info.lines = static_cast<std::uint32_t>(spec_.lines.size());
    CopyOut(argument, info);
    return 0;
  }
  if (request == GPIO_V2_GET_LINEINFO_IOCTL) {
    auto info = CopyIn<gpio_v2_line_info>(argument);
    if (info.offset >= spec_.lines.size()) return -EINVAL;
    const FakeGpioLineSpec& line = spec_.lines[info.offset];
    CopyText(info.name, line.name);
    CopyText(info.consumer, line.consumer);
    info.flags = (line.output ? GPIO_V2_LINE_FLAG_OUTPUT : GPIO_V2_LINE_FLAG_INPUT) |
                 (line.consumer.empty() ? 0 : GPIO_V2_LINE_FLAG_USED);
    CopyOut(argument, info);
    return 0;
  }
  if (request != GPIO_V2_GET_LINE_IOCTL) return -ENOTTY;
  auto wanted = CopyIn<gpio_v2_line_request>(argument);
  const long result = Request(wanted);
  CopyOut(argument, wanted);
  return result;
}

long FakeGpioChip::Request(gpio_v2_line_request& request) {
  if (request.num_lines != 1 || !IsValid(request.config.flags)) return -EINVAL;
  if (request.offsets[0] >= spec_.lines.size()) return -EINVAL;
  FakeGpioLineSpec& line = spec_.lines[request.offsets[0]];
  if (line.taken_in_between) line.consumer = "a rival";
  if (!line.consumer.empty()) return -EBUSY;
  if (request.config.flags != 0) kernel_.Violation("a line was not requested as it is");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return -EMFILE;
  line.consumer = std::string(request.consumer, ::strnlen(request.consumer, 32));
  request.fd = kernel_.Install(ends[0], std::make_unique<FakeGpioLine>(line, ends[1]));
  return 0;
}

long FakeGpioLine::Ioctl(unsigned long request, void* argument) {
  if (request == GPIO_V2_LINE_SET_CONFIG_IOCTL) {
    return Configure(CopyIn<gpio_v2_line_config>(argument));
  }
  auto values = CopyIn<gpio_v2_line_values>(argument);
  if (values.mask != 1) return -EINVAL;
  if (request == GPIO_V2_LINE_SET_VALUES_IOCTL) {
    if (!spec_.output) return -EPERM;
    spec_.high = (values.bits & 1) != 0;
    return 0;
  }
  if (request != GPIO_V2_LINE_GET_VALUES_IOCTL) return -ENOTTY;
  values.bits = spec_.high ? 1 : 0;
  CopyOut(argument, values);
  return 0;
}

long FakeGpioLine::Configure(const gpio_v2_line_config& config) {
  if (!IsValid(config.flags)) return -EINVAL;
  if ((config.flags & kDirections) == 0) return 0;
  if ((config.flags & kEdges) != 0 && !spec_.has_interrupt) return -ENXIO;
  flags_ = config.flags;
  spec_.flags = flags_;
  spec_.output = (flags_ & GPIO_V2_LINE_FLAG_OUTPUT) != 0;
  if (!spec_.output) return 0;
  const gpio_v2_line_config_attribute& values = config.attrs[0];
  if (config.num_attrs != 1 || values.attr.id != GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES) return -EINVAL;
  spec_.high = (values.attr.values & values.mask & 1) != 0;
  return 0;
}

void FakeGpioLine::Notify(bool rising) {
  if ((flags_ & (rising ? GPIO_V2_LINE_FLAG_EDGE_RISING : GPIO_V2_LINE_FLAG_EDGE_FALLING)) == 0) {
    return;
  }
  gpio_v2_line_event event{};
  event.id = rising ? GPIO_V2_LINE_EVENT_RISING_EDGE : GPIO_V2_LINE_EVENT_FALLING_EDGE;
  [[maybe_unused]] const ssize_t written = ::write(events_.get(), &event, sizeof(event));
}

}  // namespace microvm::fakes
