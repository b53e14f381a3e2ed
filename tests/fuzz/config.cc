// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: the text of a machine's configuration, recipes and windows included.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "vmm/config/vm_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    static_cast<void>(microvm::ParseVmConfig(text, "/vm/vm.toml"));
  } catch (const microvm::ConfigError&) {
    return 0;
  }
  return 0;
}
