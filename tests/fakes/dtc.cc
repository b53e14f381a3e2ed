// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/dtc.h"

#include <cstdlib>
#include <stdexcept>

#include "tests/fakes/host_tree.h"
#include "tests/fakes/test_paths.h"
#include "vmm/host/file.h"

namespace microvm::fakes {

std::vector<std::byte> CompileSource(const std::string& source) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("tree.dts", source).string();
  // It would warn of phandles that are numbers, as it writes them itself.
  const std::string command =
      std::string(kTestDtc) + " -q -I dts -O dtb -o " + path + ".dtb " + path;
  const int status = std::system(command.c_str());  // NOLINT(concurrency-mt-unsafe)
  if (status != 0) throw std::runtime_error("dtc failed on\n" + source);
  return ReadFile(path + ".dtb");
}

Decompiled RunDtc(std::span<const std::byte> blob) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("tree.dtb", blob).string();
  const std::string command = std::string(kTestDtc) + " -I dtb -O dts -o " + path + ".dts " + path +
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
