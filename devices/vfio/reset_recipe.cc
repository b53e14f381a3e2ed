// SPDX-License-Identifier: Apache-2.0
#include "devices/vfio/reset_recipe.h"

#include <bit>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "vmm/host/error.h"

namespace microvm {
namespace {

using Clock = std::chrono::steady_clock;

// A register is looked at again after this long, so that a poll does not load its bus.
constexpr std::chrono::microseconds kPollInterval{10};

static_assert(std::endian::native == std::endian::little, "registers are little-endian");

off_t Position(const VfioDevice& device, const ResetStep& step) {
  return static_cast<off_t>(device.regions().at(step.region).offset + step.offset);
}

std::uint64_t Read(const VfioDevice& device, const ResetStep& step) {
  std::uint64_t value = 0;
  const Fd& fd = device.fd();
  const ssize_t count =
      fd.kernel().Pread(fd.get(), &value, step.size_bytes, Position(device, step));
  if (count < 0) ThrowErrno("pread");
  if (count != static_cast<ssize_t>(step.size_bytes)) throw Error("the register cannot be read");
  return value;
}

void Write(const VfioDevice& device, const ResetStep& step) {
  const std::uint64_t all =
      step.size_bytes == 8 ? UINT64_MAX : (std::uint64_t{1} << (8 * step.size_bytes)) - 1;
  std::uint64_t value = step.value;
  if (step.mask != all) value |= Read(device, step) & ~step.mask;
  const Fd& fd = device.fd();
  const ssize_t count =
      fd.kernel().Pwrite(fd.get(), &value, step.size_bytes, Position(device, step));
  if (count < 0) ThrowErrno("pwrite");
  if (count != static_cast<ssize_t>(step.size_bytes)) throw Error("the register cannot be written");
}

void Poll(const VfioDevice& device, const ResetStep& step) {
  const auto deadline = Clock::now() + std::chrono::microseconds(step.us);
  for (;;) {
    // Looked at once more after the time is up: this thread may not have had the processor.
    const bool late = Clock::now() >= deadline;
    const std::uint64_t value = Read(device, step) & step.mask;
    if (value == step.value) return;
    if (late) {
      throw Error("after " + std::to_string(step.us) + " us the register's bits " + Hex(step.mask) +
                  " are " + Hex(value) + ", not " + Hex(step.value));
    }
    std::this_thread::sleep_for(kPollInterval);
  }
}

void Run(const VfioDevice& device, const ResetStep& step) {
  switch (step.action) {
    case ResetStep::Action::kWrite:
      Write(device, step);
      return;
    case ResetStep::Action::kPoll:
      Poll(device, step);
      return;
    case ResetStep::Action::kDelay:
      std::this_thread::sleep_for(std::chrono::microseconds(step.us));
      return;
  }
}

std::string Describe(std::size_t number, const ResetStep& step) {
  std::string text = "step " + std::to_string(number) + " of its recipe";
  if (step.action == ResetStep::Action::kDelay) return text;
  return text + (step.action == ResetStep::Action::kWrite ? " (write" : " (poll") + " at " +
         Hex(step.offset) + " of region " + std::to_string(step.region) + ")";
}

}  // namespace

void RunRecipe(const VfioDevice& device, const std::vector<ResetStep>& recipe) {
  std::size_t number = 0;
  for (const ResetStep& step : recipe) {
    WithContext(Error(Describe(++number, step)), [&] { Run(device, step); });
  }
}

}  // namespace microvm
