// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/stop_signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::array kAlways = {SIGINT, SIGTERM, SIGQUIT};

sigset_t Wanted() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int number : kAlways) sigaddset(&wanted, number);
  struct sigaction hangup {};
  const bool ignored = sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
  if (!ignored) sigaddset(&wanted, SIGHUP);
  return wanted;
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t wanted = Wanted();
  if (const int error = pthread_sigmask(SIG_BLOCK, &wanted, nullptr); error != 0) {
    ThrowErrno(error, "pthread_sigmask");
  }
  // One that is ignored would be thrown away before it can wait.
  for (const int number : kAlways) signal(number, SIG_DFL);
  fd_ = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd_ < 0) ThrowErrno("signalfd");
}

StopSignals::~StopSignals() {
  Take();
  ::close(fd_);
}

void StopSignals::Take() noexcept {
  signalfd_siginfo info;
  while (::read(fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
  }
}

}  // namespace microvm
