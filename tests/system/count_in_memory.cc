// SPDX-License-Identifier: Apache-2.0
//
// count_in_memory PID KIB WORD: prints how often the word stands in the mappings of a process that
// are so large, seen from outside; fails if there is none. A word across two pages does not count.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

namespace {

std::size_t Count(std::string_view text, std::string_view word) {
  std::size_t count = 0;
  for (auto at = text.find(word); at != std::string_view::npos;
       at = text.find(word, at + word.size())) {
    ++count;
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string process = std::string("/proc/") + argv[1];
  const std::uint64_t size = std::stoull(argv[2]) * 1024;
  const int memory = open((process + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  std::ifstream maps(process + "/maps");
  bool found = false;
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64, &start, &end) != 2) return 1;
    if (end - start != size) continue;
    found = true;
    std::array<char, 4096> page{};
    for (; start < end; start += page.size()) {
      if (pread(memory, page.data(), page.size(), static_cast<off_t>(start)) < 0) return 1;
      count += Count({page.data(), page.size()}, argv[3]);
    }
  }
  std::printf("%zu\n", count);
  return found ? 0 : 1;
}
