// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/stop_signals.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

#include "vmm/host/error.h"

namespace microvm {
namespace {

sigset_t Wanted() {
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    struct sigaction action {};
    const bool ignored = sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
    if (!ignored || signal == SIGTERM) sigaddset(&wanted, signal);
  }
  return wanted;
}

}  // namespace

StopSignals::StopSignals() {
  const sigset_t wanted = Wanted();
  // An ignored signal is thrown away before it can wait.
  signal(SIGTERM, SIG_DFL);
  if (const int error = pthread_sigmask(SIG_BLOCK, &wanted, nullptr); error != 0) {
    ThrowErrno(error, "pthread_sigmask");
  }
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
