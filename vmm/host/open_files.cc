// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/open_files.h"

#include <unistd.h>

#include "vmm/host/file.h"
#include "vmm/host/parse_number.h"

namespace microvm {

OpenFiles::OpenFiles(std::filesystem::path root) : root_(std::move(root)) {
  for (const std::string& name : NamesIn(root_ / "proc")) {
    const auto pid = ParseNumber<pid_t>(name);
    if (!pid || *pid == ::getpid()) continue;
    const std::filesystem::path folder = root_ / "proc" / name / "fd";
    for (const std::string& fd : NamesIn(folder)) {
      std::error_code error;
      const std::string path = std::filesystem::read_symlink(folder / fd, error).string();
      if (path.starts_with('/')) processes_[path].insert(*pid);
    }
  }
}

std::vector<std::string> OpenFiles::ProcessesWith(const std::string& path) const {
  std::vector<std::string> names;
  const auto found = processes_.find(path);
  if (found == processes_.end()) return names;
  for (const pid_t pid : found->second) {
    std::string name = std::to_string(pid);
    const std::string comm = ReadAttribute(root_ / "proc" / name / "comm");
    names.push_back(name.append(" (").append(comm).append(")"));
  }
  return names;
}

}  // namespace microvm
