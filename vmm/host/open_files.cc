// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/open_files.h"

#include <unistd.h>

#include <charconv>

#include "vmm/host/file.h"

namespace microvm {

OpenFiles::OpenFiles(std::filesystem::path root) : root_(std::move(root)) {
  for (const std::string& name : NamesIn(root_ / "proc")) {
    pid_t pid = 0;
    const auto [end, not_a_number] = std::from_chars(name.data(), name.data() + name.size(), pid);
    const bool whole = not_a_number == std::errc() && end == name.data() + name.size();
    if (!whole || pid == ::getpid()) continue;
    const std::filesystem::path folder = root_ / "proc" / name / "fd";
    for (const std::string& fd : NamesIn(folder)) {
      std::error_code error;
      const std::string path = std::filesystem::read_symlink(folder / fd, error).string();
      if (path.starts_with('/')) processes_[path].insert(pid);
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
