// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/gpio.h>

#include <memory>
#include <string>

#include "tests/fakes/fake_host.h"
#include "tests/fakes/fake_object.h"

namespace microvm::fakes {

class FakeKernel;

// /dev/gpiochipN (drivers/gpio/gpiolib-cdev.c); its lines are in FakeHost.
class FakeGpioChip final : public FakeObject {
 public:
  FakeGpioChip(FakeKernel& kernel, FakeGpioChipSpec& spec) : kernel_(kernel), spec_(spec) {}
  [[nodiscard]] std::string name() const override { return spec_.name; }
  long Ioctl(unsigned long request, void* argument) override;

 private:
  long Request(gpio_v2_line_request& request);

  FakeKernel& kernel_;
  FakeGpioChipSpec& spec_;
};

// A requested line. Its descriptor is one end of a pipe, whose other end has the events.
class FakeGpioLine final : public FakeObject {
 public:
  FakeGpioLine(FakeGpioLineSpec& spec, int events) : spec_(spec), events_(events) {}
  [[nodiscard]] std::string name() const override { return "gpio line"; }
  long Ioctl(unsigned long request, void* argument) override;
  void Closing() override { spec_.consumer.clear(); }

  [[nodiscard]] bool Is(const FakeGpioLineSpec& spec) const { return &spec_ == &spec; }
  void Notify(bool rising);

 private:
  long Configure(const gpio_v2_line_config& config);

  FakeGpioLineSpec& spec_;
  RealFd events_;
  std::uint64_t flags_ = 0;
};

}  // namespace microvm::fakes
