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

 private:
  bool active_ = false;
};

}  // namespace microvm
