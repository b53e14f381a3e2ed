// SPDX-License-Identifier: Apache-2.0
//
// restart COMMAND...: starts a machine, waits until its guest has put out a line "ready", ends it
// with SIGTERM, starts it again, and prints how many ticks of the virtual counter lie between the
// signal and the next such line.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>

namespace {

constexpr unsigned kPatienceSeconds = 240;

std::uint64_t Counter() {
  std::uint64_t value = 0;
  asm volatile("isb\n mrs %0, cntvct_el0" : "=r"(value)::"memory");
  return value;
}

[[noreturn]] void Fail(const char* what, const std::string& said) {
  std::fprintf(stderr, "restart: %s: %s\n", what, said.c_str());
  _exit(1);
}

struct Running {
  pid_t process;
  int output;
};

Running Start(char** command) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) Fail("pipe", "");
  const pid_t child = fork();
  if (child < 0) Fail("fork", "");
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execvp(command[0], command);
    _exit(127);
  }
  close(ends[1]);
  return {child, ends[0]};
}

void AwaitReady(const Running& machine) {
  std::array<char, 4096> buffer{};
  std::string said;
  // A console's lines end with a carriage return, too.
  while (said.find("ready\r") == std::string::npos && said.find("ready\n") == std::string::npos) {
    const ssize_t length = read(machine.output, buffer.data(), buffer.size());
    if (length <= 0) Fail("it ended", said);
    said.append(buffer.data(), static_cast<std::size_t>(length));
  }
}

void End(const Running& machine) {
  kill(machine.process, SIGTERM);
  int status = 0;
  if (waitpid(machine.process, &status, 0) != machine.process) Fail("wait", "");
  close(machine.output);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  alarm(kPatienceSeconds);
  const Running first = Start(argv + 1);
  AwaitReady(first);
  const std::uint64_t start = Counter();
  End(first);
  const Running second = Start(argv + 1);
  AwaitReady(second);
  const std::uint64_t end = Counter();
  End(second);
  std::printf("ticks=%" PRIu64 "\n", end - start);
}
