// SPDX-License-Identifier: Apache-2.0
//
// ticks COMMAND...: runs a command and prints how many ticks of the virtual counter it took, from
// before the fork to after the wait.
#include <sys/wait.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>

namespace {

std::uint64_t Counter() {
  std::uint64_t value = 0;
  asm volatile("isb\n mrs %0, cntvct_el0" : "=r"(value)::"memory");
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::uint64_t start = Counter();
  const pid_t child = fork();
  if (child < 0) return 1;
  if (child == 0) {
    execvp(argv[1], argv + 1);
    _exit(127);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return 1;
  std::printf("ticks=%" PRIu64 "\n", Counter() - start);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
