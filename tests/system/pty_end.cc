// SPDX-License-Identifier: Apache-2.0
//
// pty_end PATH: makes a pseudo-terminal whose other end is PATH, and copies standard input to it
// and what comes from it to standard output, until it is killed.
#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace {

// False at the end.
bool Copy(int from, int to) {
  std::array<char, 4096> buffer;
  const ssize_t count = read(from, buffer.data(), buffer.size());
  for (ssize_t at = 0; at < count;) {
    const ssize_t written =
        write(to, &buffer[static_cast<std::size_t>(at)], static_cast<std::size_t>(count - at));
    if (written <= 0) return false;
    at += written;
  }
  return count > 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (argc != 2 || master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
    std::perror("pty_end");
    return 1;
  }
  // There is one thread.
  const char* name = ptsname(master);  // NOLINT(concurrency-mt-unsafe)
  unlink(argv[1]);
  if (name == nullptr || symlink(name, argv[1]) != 0) {
    std::perror("pty_end: symlink");
    return 1;
  }
  // While it is open here, the master outlives those who come and go.
  const int kept = open(name, O_RDWR | O_NOCTTY);
  std::array<pollfd, 2> ends{{{master, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
  while (kept >= 0 && poll(ends.data(), ends.size(), -1) > 0) {
    if (ends[0].revents != 0 && !Copy(master, STDOUT_FILENO)) return 1;
    if (ends[1].revents != 0 && !Copy(STDIN_FILENO, master)) ends[1].fd = -1;
  }
  return 1;
}
