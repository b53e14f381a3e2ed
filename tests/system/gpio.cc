// SPDX-License-Identifier: Apache-2.0
//
// What the tests do with GPIO lines, on a board and in its guest alike, through linux/gpio.h:
//   gpio info CHIP                  label and lines: names, directions, who has them
//   gpio get CHIP LINE              "value=V" of the line as an input
//   gpio out CHIP LINE VALUE        drives it, says "out=V", and has it until killed
//   gpio watch CHIP LINE rising|falling|both
//                                   has the line's edges counted, if they can be, for one moment
//   gpio echo CHIP IN OUT COUNT     toggles OUT for each edge of IN; says how many of each kind
// What is refused is told as "refused=ERRNO".
#include <fcntl.h>
#include <linux/gpio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

int Refused() {
  std::printf("refused=%d\n", errno);
  return 1;
}

int OpenChip(const std::string& name) {
  return ::open(("/dev/" + name).c_str(), O_RDWR | O_CLOEXEC);
}

int Request(int chip, unsigned line, std::uint64_t flags, bool high = false) {
  gpio_v2_line_request request{};
  request.offsets[0] = line;
  request.num_lines = 1;
  request.config.flags = flags;
  std::strcpy(request.consumer, "test");
  if ((flags & GPIO_V2_LINE_FLAG_OUTPUT) != 0) {
    request.config.num_attrs = 1;
    request.config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES;
    request.config.attrs[0].attr.values = high ? 1 : 0;
    request.config.attrs[0].mask = 1;
  }
  return ::ioctl(chip, GPIO_V2_GET_LINE_IOCTL, &request) < 0 ? -1 : request.fd;
}

int Info(int chip) {
  gpiochip_info info{};
  if (::ioctl(chip, GPIO_GET_CHIPINFO_IOCTL, &info) < 0) return Refused();
  std::printf("label=%s lines=%u\n", info.label, info.lines);
  for (unsigned offset = 0; offset < info.lines; ++offset) {
    gpio_v2_line_info line{};
    line.offset = offset;
    if (::ioctl(chip, GPIO_V2_GET_LINEINFO_IOCTL, &line) < 0) return Refused();
    std::printf("line=%u name=%s direction=%s consumer=%s\n", offset, line.name,
                (line.flags & GPIO_V2_LINE_FLAG_OUTPUT) != 0 ? "out" : "in", line.consumer);
  }
  return 0;
}

int Get(int chip, unsigned offset) {
  const int line = Request(chip, offset, GPIO_V2_LINE_FLAG_INPUT);
  gpio_v2_line_values values{.bits = 0, .mask = 1};
  if (line < 0 || ::ioctl(line, GPIO_V2_LINE_GET_VALUES_IOCTL, &values) < 0) return Refused();
  std::printf("value=%u\n", static_cast<unsigned>(values.bits & 1));
  return 0;
}

int Out(int chip, unsigned offset, bool high) {
  if (Request(chip, offset, GPIO_V2_LINE_FLAG_OUTPUT, high) < 0) return Refused();
  std::printf("out=%d\n", high ? 1 : 0);
  std::fflush(stdout);
  for (;;) ::pause();
}

int Watch(int chip, unsigned offset, std::string_view edges) {
  std::uint64_t flags = GPIO_V2_LINE_FLAG_INPUT;
  if (edges != "falling") flags |= GPIO_V2_LINE_FLAG_EDGE_RISING;
  if (edges != "rising") flags |= GPIO_V2_LINE_FLAG_EDGE_FALLING;
  if (Request(chip, offset, flags) < 0) return Refused();
  std::printf("watched=yes\n");
  return 0;
}

int Echo(int chip, unsigned in_offset, unsigned out_offset, unsigned count) {
  const int in = Request(
      chip, in_offset,
      GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING);
  const int out = Request(chip, out_offset, GPIO_V2_LINE_FLAG_OUTPUT);
  if (in < 0 || out < 0) return Refused();
  std::printf("echo=ready\n");
  std::fflush(stdout);
  unsigned rising = 0;
  unsigned falling = 0;
  for (unsigned seen = 1; seen <= count; ++seen) {
    gpio_v2_line_event event{};
    if (::read(in, &event, sizeof(event)) != sizeof(event)) return Refused();
    ++(event.id == GPIO_V2_LINE_EVENT_RISING_EDGE ? rising : falling);
    gpio_v2_line_values values{.bits = seen & 1, .mask = 1};
    if (::ioctl(out, GPIO_V2_LINE_SET_VALUES_IOCTL, &values) < 0) return Refused();
  }
  std::printf("rising=%u falling=%u\n", rising, falling);
  return 0;
}

unsigned Number(const char* text) { return static_cast<unsigned>(std::atoi(text)); }

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  const std::string_view command = arguments[1];
  const int chip = OpenChip(arguments[2]);
  if (chip < 0) return Refused();
  if (command == "info") return Info(chip);
  if (command == "get" && count == 4) return Get(chip, Number(arguments[3]));
  if (count == 5) {
    if (command == "out") return Out(chip, Number(arguments[3]), Number(arguments[4]) != 0);
    if (command == "watch") return Watch(chip, Number(arguments[3]), arguments[4]);
  }
  if (command == "echo" && count == 6) {
    return Echo(chip, Number(arguments[3]), Number(arguments[4]), Number(arguments[5]));
  }
  return 2;
}
