// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace microvm {

// Which processes, but this one, have which files open, as far as /proc below a root shows: read
// once, then asked often.
class OpenFiles {
 public:
  explicit OpenFiles(std::filesystem::path root);

  // "1234 (name)" of each process that has `path` open.
  [[nodiscard]] std::vector<std::string> ProcessesWith(const std::string& path) const;

 private:
  std::filesystem::path root_;
  std::map<std::string, std::set<pid_t>> processes_;  // by the file's path
};

}  // namespace microvm
