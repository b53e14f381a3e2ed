// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "devices/gpio/gpio_pin.h"
#include "vmm/host/fd.h"

namespace microvm {

// A line of the host's, through version 2 of the GPIO character device's interface (linux/gpio.h;
// kernels from 5.10 on). We use it as it is and not libgpiod: direction and edge detection of one
// request change without a moment in which the line is free for others, which version 1 of the
// interface, all that libgpiod 1.6 of Debian 12 knows, cannot do; and libgpiod 2 of Debian 13 has
// another API.
class HostGpioLine final : public GpioLine {
 public:
  // `fd` is what GPIO_V2_GET_LINE_IOCTL gave for one line; it does not block.
  HostGpioLine(Fd fd, GpioBias bias) : fd_(std::move(fd)), bias_(bias) {}

  [[nodiscard]] bool MakeInput(GpioEdges watched) noexcept override;
  [[nodiscard]] bool MakeOutput(bool high) noexcept override;
  [[nodiscard]] bool Drive(bool high) noexcept override;
  [[nodiscard]] std::optional<bool> Read() noexcept override;
  GpioEvents TakeEvents() noexcept override;

  // Readable when there are events; its other end is hung up when the chip is gone.
  [[nodiscard]] const Fd& fd() const { return fd_; }

 private:
  [[nodiscard]] bool Configure(std::uint64_t flags, bool high) noexcept;

  Fd fd_;
  GpioBias bias_;
  GpioEdges watched_ = GpioEdges::kNone;
};

// Where a line that the configuration names is, and how it was last seen.
struct FoundGpioLine {
  std::string chip;  // "gpiochip0"
  std::uint32_t offset = 0;
  std::string name;  // the host's own; may be empty
  bool is_output = false;
};

// The lines of each [[gpio]], in its order. Nothing is requested: no line changes. `root` is "/" in
// production. Throws Error with every line that is not there, is somebody else's or is named twice,
// and what can be done.
std::vector<std::vector<FoundGpioLine>> FindGpioLines(HostKernel& kernel,
                                                      const std::filesystem::path& root,
                                                      const std::vector<GpioConfig>& gpios);

// A line that is requested, and its descriptor to wait for events with.
struct OpenedGpioLine {
  GpioPin pin;
  const Fd* events;  // the pin's own
};

using OpenedGpioLines = std::vector<OpenedGpioLine>;

// Finds the lines and requests each as it is: no line changes its direction or value. They are
// released, which leaves them as they are then, with what this returns, or with the process. Throws
// as FindGpioLines does, or a chain.
std::vector<OpenedGpioLines> OpenGpioLines(HostKernel& kernel, const std::filesystem::path& root,
                                           const std::vector<GpioConfig>& gpios);

}  // namespace microvm
