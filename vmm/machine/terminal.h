// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <termios.h>

namespace microvm {

// Puts the terminal on standard input, if there is one and we are in its foreground, into raw mode
// (output processing stays on), and back: on destruction and when a fatal signal ends the program.
// At most one exists at a time.
class RawTerminal {
 public:
  RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  RawTerminal(RawTerminal&&) = delete;
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal();

  [[nodiscard]] bool active() const { return active_; }

  // Gives the terminal back, stops the process as SIGSTOP does, and returns when it goes on.
  void Stop();
  // After SIGCONT: raw again, if we are in the foreground. Whoever stopped us, or the shell in the
  // meantime, may have changed the mode.
  void Continue();

 private:
  bool active_ = false;
};

// Has a terminal that is a device by its path, a serial port or a pseudo-terminal, carry bytes as
// they are while this lives; nothing if it is no terminal.
class RawLine {
 public:
  explicit RawLine(int fd);
  RawLine(const RawLine&) = delete;
  RawLine& operator=(const RawLine&) = delete;
  RawLine(RawLine&&) = delete;
  RawLine& operator=(RawLine&&) = delete;
  ~RawLine();

 private:
  int fd_ = -1;  // our own
  termios before_{};
};

}  // namespace microvm
