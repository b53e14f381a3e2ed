// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/consoles.h"

namespace microvm {

Consoles::Consoles(EventLoop& loop, HostKernel& kernel, const std::vector<ConsoleConfig>& configs,
                   const std::function<void()>& on_quit) {
  for (const ConsoleConfig& config : configs) {
    ends_.push_back(std::make_unique<ConsoleIo>(loop, kernel, config, on_quit));
    if (config.kind == ConsoleKind::kPl011) pl011_ = ends_.back().get();
  }
}

void Consoles::Drain() {
  for (const auto& end : ends_) end->Drain();
}

}  // namespace microvm
