// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/terminal.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>

#include "vmm/host/error.h"
#include "vmm/machine/loop_event.h"

namespace microvm {
namespace {

// Those whose default action is our end, but SIGPIPE, which is ignored, and those that stop a
// guest.
constexpr std::array kFatalSignals = {SIGSEGV, SIGBUS,  SIGABRT,   SIGILL,   SIGFPE,  SIGSYS,
                                      SIGTRAP, SIGALRM, SIGVTALRM, SIGPROF,  SIGUSR1, SIGUSR2,
                                      SIGXCPU, SIGIO,   SIGPWR,    SIGSTKFLT};

// What a signal handler needs to restore the terminal; tcsetattr is async-signal-safe.
termios saved_mode;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<bool> must_restore{false};

void Restore() {
  if (must_restore.exchange(false)) tcsetattr(STDIN_FILENO, TCSANOW, &saved_mode);
}

// -1: a terminal that is not our controlling one, where there is no background.
bool InForeground() {
  const pid_t foreground = tcgetpgrp(STDIN_FILENO);
  return foreground == -1 || foreground == getpgrp();
}

bool MakeRaw() {
  termios raw = saved_mode;
  cfmakeraw(&raw);
  raw.c_oflag |= OPOST;  // our own messages still end their lines
  must_restore = true;
  return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

void RestoreAndDie(int signal) {
  Restore();
  raise(signal);  // SA_RESETHAND has put the default action back
}

}  // namespace

RawTerminal::RawTerminal() {
  if (isatty(STDIN_FILENO) == 0 || !InForeground()) return;
  if (tcgetattr(STDIN_FILENO, &saved_mode) != 0) return;
  struct sigaction action {};
  action.sa_handler = RestoreAndDie;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : kFatalSignals) sigaction(signal, &action, nullptr);
  // The first of them kicks vCPUs.
  for (int signal = SIGRTMIN + 1; signal <= SIGRTMAX; ++signal) sigaction(signal, &action, nullptr);
  if (!MakeRaw()) {
    must_restore = false;
    ThrowErrno("tcsetattr");
  }
  active_ = true;
}

RawTerminal::~RawTerminal() { Restore(); }

void RawTerminal::Stop() {
  // In the background, to change the mode would stop us before we have.
  if (InForeground()) Restore();
  raise(SIGSTOP);
}

void RawTerminal::Continue() {
  if (InForeground()) MakeRaw();
}

RawLine::RawLine(int fd) {
  if (tcgetattr(fd, &before_) != 0) return;
  fd_ = DuplicateForLoop(fd);
  termios raw = before_;
  cfmakeraw(&raw);
  tcsetattr(fd_, TCSANOW, &raw);
}

RawLine::~RawLine() {
  if (fd_ < 0) return;
  tcsetattr(fd_, TCSANOW, &before_);
  ::close(fd_);
}

}  // namespace microvm
