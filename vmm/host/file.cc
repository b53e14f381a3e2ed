// SPDX-License-Identifier: Apache-2.0
#include "vmm/host/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "vmm/host/error.h"
#include "vmm/host/fd.h"
#include "vmm/host/linux_kernel.h"

namespace microvm {
namespace {

// Ordinary files are not part of the kernel seam: a root path stands in for them in tests.
HostKernel& Files() {
  static LinuxKernel kernel;
  return kernel;
}

// More than any text or device tree has; /dev/zero has more.
constexpr std::size_t kLargestFile = std::size_t{64} << 20;

template <typename Container>
Container ReadWhole(const std::string& path) {
  const Fd fd = OpenFd(Files(), path, O_RDONLY);
  Container content;
  std::array<char, 4096> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (;;) {
    const ssize_t count = ::read(fd.get(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) ThrowErrno(("read " + path).c_str());
    if (count == 0) return content;
    if (content.size() > kLargestFile) throw Error(path + " is larger than 64 MiB");
    const auto* first = reinterpret_cast<const typename Container::value_type*>(chunk.data());
    content.insert(content.end(), first, first + count);
  }
}

}  // namespace

std::vector<std::byte> ReadFile(const std::string& path) {
  return ReadWhole<std::vector<std::byte>>(path);
}

std::string ReadTextFile(const std::string& path) { return ReadWhole<std::string>(path); }

std::string ReadAttribute(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return {};
  std::string text;
  try {
    text = ReadTextFile(path.string());
  } catch (const std::exception&) {
    return {};
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text == "(null)" ? std::string() : text;
}

std::vector<std::string> NamesIn(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> names;
  std::error_code error;
  // A folder of procfs may go while it is read.
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

void WriteAttribute(const std::string& path, std::string_view text) {
  const Fd fd = OpenFd(Files(), path, O_WRONLY);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    ThrowErrno(("write " + path).c_str());
  }
}

void WriteFile(const std::string& path, std::string_view content) {
  // A FIFO that nobody reads is an error, and not something to wait for.
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_CLOEXEC;
  const Fd fd(Files(), ::open(path.c_str(), kFlags, 0644));
  if (!fd) ThrowErrno(("open " + path).c_str());
  while (!content.empty()) {
    const ssize_t count = ::write(fd.get(), content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) ThrowErrno(("write " + path).c_str());
    content.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace microvm
