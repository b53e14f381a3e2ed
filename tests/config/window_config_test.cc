// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <string>

#include "vmm/config/vm_config.h"

namespace microvm {
namespace {

// `lines` in a [[platform]] table that begins at line 6 of a file called vm.toml.
std::vector<WindowConfig> ParseWindows(const std::string& lines) {
  return ParseVmConfig(
             "[memory]\nsize = \"4M\"\n[boot]\nkernel = \"Image\"\n[[platform]]\nhost = \"d\"\n" +
                 lines,
             "vm.toml")
      .platform[0]
      .windows;
}

std::string WindowProblems(const std::string& lines) {
  try {
    ParseWindows(lines);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("without a word there are no windows") { CHECK(ParseWindows("").empty()); }

TEST_CASE("windows are read with their places, the rest of a region too") {
  const auto windows = ParseWindows(
      "[[platform.window]]\naccess = \"deny\"\n"
      "[[platform.window]]\nregion = 2\noffset = 0x30\nsize = \"4K\"\naccess = \"read-only\"\n"
      "[[platform.window]]\noffset = 0\nsize = 4\naccess = \"allow\"\n");
  REQUIRE(windows.size() == 3);
  CHECK(windows[0].region == 0);
  CHECK(windows[0].size_bytes == 0);
  CHECK(windows[0].access == WindowAccess::kDeny);
  CHECK(windows[0].place == "vm.toml:7:1: platform.window.region");
  CHECK(windows[1].region == 2);
  CHECK(windows[1].offset == 0x30);
  CHECK(windows[1].size_bytes == 4096);
  CHECK(windows[1].access == WindowAccess::kReadOnly);
  CHECK(windows[1].place == "vm.toml:11:10: platform.window.offset");
  CHECK(windows[2].offset == 0);
  CHECK(windows[2].size_bytes == 4);
  CHECK(windows[2].access == WindowAccess::kAllow);
}

TEST_CASE("what is wrong in a window is named with its place") {
  CHECK(WindowProblems("window = [{ }]\n") == "vm.toml:7:11: platform.window.access: missing");
  CHECK(WindowProblems("window = [{ access = \"all\" }]\n") ==
        "vm.toml:7:22: platform.window.access: must be one of \"allow\", \"read-only\", \"deny\"");
  CHECK(WindowProblems("window = [{ offset = 4, access = \"deny\" }]\n") ==
        "vm.toml:7:11: platform.window.size: missing");
  CHECK(WindowProblems("window = [{ size = 4, access = \"deny\" }]\n") ==
        "vm.toml:7:11: platform.window.offset: missing");
  CHECK(WindowProblems("window = [{ offset = 4, size = 0, access = \"deny\" }]\n")
            .starts_with("vm.toml:7:32: platform.window.size: "));
  CHECK(WindowProblems("window = [{ offset = -1, size = 4, access = \"deny\" }]\n")
            .starts_with("vm.toml:7:22: platform.window.offset: must be an integer from 0"));
  CHECK(WindowProblems("window = [{ mask = 4, access = \"deny\" }]\n") ==
        "vm.toml:7:13: platform.window.mask: unknown key");
}

TEST_CASE("windows of one region do not overlap, and touch each other") {
  const std::string first = "{ offset = 8, size = 8, access = \"deny\" }";
  const auto with = [&](const std::string& second) {
    return WindowProblems("window = [" + first + ",\n" + second + "]\n");
  };
  const std::string overlap = "platform.window.offset: overlaps another window of the same region";
  CHECK(with("{ offset = 0, size = 8, access = \"allow\" }") == "");
  CHECK(with("{ offset = 16, size = 8, access = \"allow\" }") == "");
  CHECK(with("{ offset = 0, size = 9, access = \"allow\" }") == "vm.toml:8:12: " + overlap);
  CHECK(with("{ offset = 15, size = 1, access = \"allow\" }") == "vm.toml:8:12: " + overlap);
  CHECK(with("{ offset = 0, size = 64, access = \"allow\" }") == "vm.toml:8:12: " + overlap);
  CHECK(with("{ region = 1, offset = 8, size = 8, access = \"allow\" }") == "");
  CHECK(with("{ access = \"allow\" }") == "");
  CHECK(with("{ access = \"allow\" }, { region = 0, access = \"deny\" }") ==
        "vm.toml:8:34: platform.window.region: the rest of the same region twice");
}

TEST_CASE("windows have an end") {
  std::string windows = "window = [";
  for (int at = 0; at < 257; ++at) {
    windows += "{ offset = " + std::to_string(4 * at) + ", size = 4, access = \"deny\" },";
  }
  CHECK(WindowProblems(windows + "]\n") ==
        "vm.toml:7:10: platform.window: there are more than 256 of them");
}

}  // namespace
}  // namespace microvm
