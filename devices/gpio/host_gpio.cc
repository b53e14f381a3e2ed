// SPDX-License-Identifier: Apache-2.0
#include "devices/gpio/host_gpio.h"

#include <fcntl.h>
#include <linux/gpio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>

#include "vmm/host/parse_number.h"

namespace microvm {
namespace {

std::uint64_t BiasFlags(GpioBias bias) {
  switch (bias) {
    case GpioBias::kAsIs:
      return 0;
    case GpioBias::kDisabled:
      return GPIO_V2_LINE_FLAG_BIAS_DISABLED;
    case GpioBias::kPullUp:
      return GPIO_V2_LINE_FLAG_BIAS_PULL_UP;
    case GpioBias::kPullDown:
      return GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN;
  }
  return 0;
}

std::uint64_t EdgeFlags(GpioEdges edges) {
  std::uint64_t flags = 0;
  if ((edges & GpioEdges::kRising) != GpioEdges::kNone) flags |= GPIO_V2_LINE_FLAG_EDGE_RISING;
  if ((edges & GpioEdges::kFalling) != GpioEdges::kNone) flags |= GPIO_V2_LINE_FLAG_EDGE_FALLING;
  return flags;
}

// A name of the kernel's, which ends with its array at the latest.
template <std::size_t Size>
// NOLINTNEXTLINE(modernize-avoid-c-arrays)
std::string Text(const char (&array)[Size]) {
  return {array, ::strnlen(array, Size)};
}

Error NoChip(std::string_view name) {
  return Error("the host has no GPIO chip '" + std::string(name) + "'",
               "gpiodetect shows those it has");
}

Fd OpenChip(HostKernel& kernel, const std::filesystem::path& root, const std::string& name) {
  const std::string path = root / "dev" / name;
  return OpenDeviceFile(
      kernel, path,
      Error("this user may not use the GPIO chip " + name,
            "run as root, or give this user " + path + " (a group, by a udev rule)"),
      NoChip(name));
}

struct Chip {
  std::string name;
  std::uint32_t lines = 0;
  Fd fd;
};

// The chip of that name, path or label.
Chip FindChip(HostKernel& kernel, const std::filesystem::path& root, std::string_view wanted) {
  constexpr std::string_view kFolder = "/dev/";
  if (wanted.starts_with(kFolder)) wanted.remove_prefix(kFolder.size());
  const std::filesystem::path folder = root / "sys/bus/gpio/devices";
  std::error_code error;
  const bool is_name =
      wanted.starts_with("gpiochip") && std::filesystem::exists(folder / wanted, error);
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    if (is_name ? name != wanted : !name.starts_with("gpiochip")) continue;
    Fd fd = OpenChip(kernel, root, name);
    gpiochip_info info{};
    CheckedIoctl(fd, IOCTL_CODE(GPIO_GET_CHIPINFO_IOCTL), &info);
    if (is_name || Text(info.label) == wanted) return {name, info.lines, std::move(fd)};
  }
  throw NoChip(wanted);
}

gpio_v2_line_info LineInfo(const Fd& chip, std::uint32_t offset) {
  gpio_v2_line_info info{};
  info.offset = offset;
  CheckedIoctl(chip, IOCTL_CODE(GPIO_V2_GET_LINEINFO_IOCTL), &info);
  return info;
}

// Names need not be unique on a chip.
gpio_v2_line_info FindLine(const Chip& chip, const std::string& wanted) {
  const std::string remedy = "gpioinfo " + chip.name + " shows its lines";
  if (const auto offset = ParseNumber<std::uint32_t>(wanted)) {
    if (*offset < chip.lines) return LineInfo(chip.fd, *offset);
    throw Error(chip.name + " has the lines 0 to " + std::to_string(chip.lines - 1), remedy);
  }
  std::optional<gpio_v2_line_info> found;
  for (std::uint32_t offset = 0; offset < chip.lines; ++offset) {
    const gpio_v2_line_info info = LineInfo(chip.fd, offset);
    if (Text(info.name) != wanted) continue;
    if (found) {
      throw Error(chip.name + " has two lines of that name, " + std::to_string(found->offset) +
                      " and " + std::to_string(offset),
                  "write its number");
    }
    found = info;
  }
  if (!found) throw Error(chip.name + " has no line of that name", remedy);
  return *found;
}

Error InUse(const std::string& consumer) {
  return Error("it is in use" + (consumer.empty() ? "" : " by '" + consumer + "'"),
               "end what has it, or leave the line out; gpioinfo shows who has which");
}

// Requests one line, as it is.
Fd RequestLine(const Fd& chip, std::uint32_t offset, const std::string& consumer) {
  gpio_v2_line_request request{};
  request.offsets[0] = offset;
  request.num_lines = 1;
  request.event_buffer_size = GpioLine::kEventsTaken;
  std::memcpy(request.consumer, consumer.data(),
              std::min(consumer.size(), sizeof(request.consumer) - 1));
  try {
    CheckedIoctl(chip, IOCTL_CODE(GPIO_V2_GET_LINE_IOCTL), &request);
  } catch (const std::exception& error) {
    if (ErrnoOf(error) != EBUSY) throw;
    std::throw_with_nested(InUse(Text(LineInfo(chip, offset).consumer)));
  }
  Fd line(chip.kernel(), request.fd);
  if (::fcntl(line.get(), F_SETFL, O_NONBLOCK) != 0) ThrowErrno("fcntl (O_NONBLOCK)");
  return line;
}

OpenedGpioLine OpenLine(HostKernel& kernel, const std::filesystem::path& root,
                        const std::string& consumer, const GpioLineConfig& config,
                        const FoundGpioLine& found) {
  const Fd chip = OpenChip(kernel, root, found.chip);
  auto line =
      std::make_unique<HostGpioLine>(RequestLine(chip, found.offset, consumer), config.bias);
  const Fd* events = &line->fd();
  GpioPin::Found state{.output = found.is_output};
  if (state.output) {
    const auto high = line->Read();
    if (!high) ThrowErrno("GPIO_V2_LINE_GET_VALUES_IOCTL");
    state.high = *high;
  }
  return {GpioPin(std::move(line), config, state), events};
}

Error Named(const GpioLineConfig& line) { return Error("gpio: line '" + ToString(line) + "'"); }

// A line of the configuration's, by its place and by what it calls it.
struct Taken {
  std::string chip;
  std::uint32_t offset;
  std::string name;
};

void CheckIsNew(std::vector<Taken>& taken, Taken line) {
  for (const Taken& before : taken) {
    if (before.chip != line.chip || before.offset != line.offset) continue;
    throw Error("it is the same line as '" + before.name + "'");
  }
  taken.push_back(std::move(line));
}

// What is wrong with each of the lines, and the remedies of all.
class Problems {
 public:
  void Add(const GpioLineConfig& line, const Error& error) {
    text_ += (text_.empty() ? "" : "\n") + std::string(Named(line).what()) + ": " + error.what();
    const std::string& remedy = error.remedy();
    if (!remedy.empty() && remedies_.find(remedy) == std::string::npos) {
      remedies_ += (remedies_.empty() ? "" : "\n") + remedy;
    }
  }
  void ThrowIfAny() const {
    if (!text_.empty()) throw Error(text_, remedies_);
  }

 private:
  std::string text_;
  std::string remedies_;
};

}  // namespace

bool HostGpioLine::Configure(std::uint64_t flags, bool high) noexcept {
  gpio_v2_line_config config{};
  config.flags = flags | BiasFlags(bias_);
  if ((flags & GPIO_V2_LINE_FLAG_OUTPUT) != 0) {
    config.num_attrs = 1;
    config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES;
    config.attrs[0].attr.values = high ? 1 : 0;
    config.attrs[0].mask = 1;
  }
  return fd_.kernel().Ioctl(fd_.get(), GPIO_V2_LINE_SET_CONFIG_IOCTL, &config) >= 0;
}

bool HostGpioLine::MakeInput(GpioEdges watched) noexcept {
  // Events of an earlier time are nobody's. There are no more than are taken at once.
  if (watched_ == GpioEdges::kNone && watched != GpioEdges::kNone) TakeEvents();
  if (!Configure(GPIO_V2_LINE_FLAG_INPUT | EdgeFlags(watched), false)) return false;
  watched_ = watched;
  return true;
}

bool HostGpioLine::MakeOutput(bool high) noexcept {
  if (!Configure(GPIO_V2_LINE_FLAG_OUTPUT, high)) return false;
  watched_ = GpioEdges::kNone;
  return true;
}

bool HostGpioLine::Drive(bool high) noexcept {
  gpio_v2_line_values values{.bits = high ? 1U : 0U, .mask = 1};
  return fd_.kernel().Ioctl(fd_.get(), GPIO_V2_LINE_SET_VALUES_IOCTL, &values) >= 0;
}

std::optional<bool> HostGpioLine::Read() noexcept {
  gpio_v2_line_values values{.bits = 0, .mask = 1};
  if (fd_.kernel().Ioctl(fd_.get(), GPIO_V2_LINE_GET_VALUES_IOCTL, &values) < 0) return {};
  return (values.bits & 1) != 0;
}

GpioEvents HostGpioLine::TakeEvents() noexcept {
  std::array<gpio_v2_line_event, kEventsTaken> read{};
  const ssize_t bytes = ::read(fd_.get(), read.data(), sizeof(read));
  if (bytes <= 0) return {.gone = bytes == 0 || (errno != EAGAIN && errno != EINTR)};
  GpioEvents events;
  events.count = static_cast<unsigned>(static_cast<std::size_t>(bytes) / sizeof(read[0]));
  for (const gpio_v2_line_event& event : std::span(read).first(events.count)) {
    events.edges =
        events.edges |
        (event.id == GPIO_V2_LINE_EVENT_RISING_EDGE ? GpioEdges::kRising : GpioEdges::kFalling);
  }
  return events;
}

std::vector<std::vector<FoundGpioLine>> FindGpioLines(HostKernel& kernel,
                                                      const std::filesystem::path& root,
                                                      const std::vector<GpioConfig>& gpios) {
  std::vector<std::vector<FoundGpioLine>> all;
  std::vector<Taken> taken;
  Problems problems;
  for (const GpioConfig& gpio : gpios) {
    auto& found = all.emplace_back();
    for (const GpioLineConfig& line : gpio.lines) {
      try {
        const Chip chip = FindChip(kernel, root, line.chip);
        const gpio_v2_line_info info = FindLine(chip, line.line);
        CheckIsNew(taken, {chip.name, info.offset, ToString(line)});
        if ((info.flags & GPIO_V2_LINE_FLAG_USED) != 0) throw InUse(Text(info.consumer));
        found.push_back({chip.name, info.offset, Text(info.name),
                         (info.flags & GPIO_V2_LINE_FLAG_OUTPUT) != 0});
      } catch (const std::exception& error) {
        const auto* ours = dynamic_cast<const Error*>(&error);
        // What a call says is nothing to go on with.
        if (ours == nullptr || ErrnoOf(error) != 0) std::throw_with_nested(Named(line));
        problems.Add(line, *ours);
      }
    }
  }
  problems.ThrowIfAny();
  return all;
}

std::vector<OpenedGpioLines> OpenGpioLines(HostKernel& kernel, const std::filesystem::path& root,
                                           const std::vector<GpioConfig>& gpios) {
  const auto found = FindGpioLines(kernel, root, gpios);
  std::vector<OpenedGpioLines> opened(gpios.size());
  for (std::size_t gpio = 0; gpio < gpios.size(); ++gpio) {
    for (std::size_t index = 0; index < found[gpio].size(); ++index) {
      const GpioLineConfig& config = gpios[gpio].lines[index];
      WithContext(Named(config), [&] {
        opened[gpio].push_back(
            OpenLine(kernel, root, gpios[gpio].consumer, config, found[gpio][index]));
      });
    }
  }
  return opened;
}

}  // namespace microvm
