// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace microvm::bench {

// What of the host decides about latency, one `name: value` to a line: kernel and its preemption,
// isolated CPUs, frequency governors, halt polling, real-time throttling, transparent huge pages.
// What the host does not tell is `unknown`. `root` is "/" but in tests.
std::string FormatHostSettings(const std::filesystem::path& root);

}  // namespace microvm::bench
