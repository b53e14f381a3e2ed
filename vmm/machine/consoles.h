// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "vmm/machine/console_io.h"

namespace microvm {

// The host's ends of a guest's consoles, in the order of the configuration. They outlive the boots
// of the guest. The loop's thread.
class Consoles {
 public:
  // `on_quit` is called when the user asks to end the guest. Throws a chain.
  Consoles(EventLoop& loop, HostKernel& kernel, const std::vector<ConsoleConfig>& configs,
           const std::function<void()>& on_quit);

  [[nodiscard]] ConsoleIo& at(std::size_t index) { return *ends_[index]; }
  // Of the guest's PL011; null if it has none.
  [[nodiscard]] ConsoleIo* pl011() { return pl011_; }
  // Runs the loop until all output is written, for one second of each at most.
  void Drain();

 private:
  std::vector<std::unique_ptr<ConsoleIo>> ends_;
  ConsoleIo* pl011_ = nullptr;
};

}  // namespace microvm
