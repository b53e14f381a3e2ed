// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/dtc.h"

#include <cstdlib>

#include "paths.h"  // made by Meson
#include "tests/fakes/host_tree.h"
#include "vmm/host/file.h"

namespace microvm::fakes {

Decompiled RunDtc(std::span<const std::byte> blob) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("tree.dtb", blob).string();
  const std::string command = std::string(TEST_DTC) + " -I dtb -O dts -o " + path + ".dts " + path +
                              " 2> " + path + ".warnings";
  const int status = std::system(command.c_str());  // NOLINT(concurrency-mt-unsafe)
  Decompiled result;
  result.warnings = ReadTextFile(path + ".warnings");
  if (status != 0) {
    result.warnings += "dtc failed";
    return result;
  }
  result.source = ReadTextFile(path + ".dts");
  return result;
}

}  // namespace microvm::fakes
