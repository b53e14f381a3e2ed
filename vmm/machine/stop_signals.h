// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace microvm {

// The signals that tell a guest to end: SIGINT, SIGTERM and SIGQUIT, which a shell has its
// background ignore, but who sends one means it; and SIGHUP, unless it is ignored (nohup). From its
// making on they are blocked, in this thread and in those made later, and wait in a descriptor
// (signalfd(2)): none is lost while a machine is set up, and none ends the process while a machine
// is taken down. They stay blocked until the process ends.
class StopSignals {
 public:
  // Throws std::system_error.
  StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  StopSignals(StopSignals&&) = delete;
  StopSignals& operator=(StopSignals&&) = delete;
  // Forgets those that have come.
  ~StopSignals();

  // Readable, without blocking, while one has come.
  [[nodiscard]] int fd() const { return fd_; }
  // Takes all that have come.
  void Take() noexcept;

 private:
  int fd_;
};

}  // namespace microvm
