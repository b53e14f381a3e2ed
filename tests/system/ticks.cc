// SPDX-License-Identifier: Apache-2.0
//
// ticks [--first-output] COMMAND...: runs a command and prints how many ticks of the virtual
// counter it took, from before the fork to after the wait; or to the first byte that it puts out,
// all of which is swallowed.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace {

std::uint64_t Counter() {
  std::uint64_t value = 0;
  asm volatile("isb\n mrs %0, cntvct_el0" : "=r"(value)::"memory");
  return value;
}

// When the first byte came, 0 if none did; reads on to the end.
std::uint64_t FirstOutput(int input) {
  std::array<char, 4096> buffer;
  std::uint64_t first = 0;
  while (read(input, buffer.data(), buffer.size()) > 0) {
    if (first == 0) first = Counter();
  }
  return first;
}

}  // namespace

int main(int argc, char** argv) {
  const bool first_output = argc > 1 && std::string_view(argv[1]) == "--first-output";
  char** command = argv + (first_output ? 2 : 1);
  if (argc < (first_output ? 3 : 2)) return 2;
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) return 1;
  const std::uint64_t start = Counter();
  const pid_t child = fork();
  if (child < 0) return 1;
  if (child == 0) {
    if (first_output) dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execvp(command[0], command);
    _exit(127);
  }
  close(ends[1]);
  const std::uint64_t first = first_output ? FirstOutput(ends[0]) : 0;
  int status = 0;
  if (waitpid(child, &status, 0) != child) return 1;
  if (first_output && first == 0) return 1;
  const std::uint64_t end = first_output ? first : Counter();
  std::printf("ticks=%" PRIu64 "\n", end - start);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
