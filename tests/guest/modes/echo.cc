// SPDX-License-Identifier: Apache-2.0
// Console input by interrupt: every line comes back, `quit` ends.
#include <array>
#include <atomic>

#include "../cpu.h"
#include "../failure.h"
#include "modes.h"

namespace guest {
namespace {

constinit std::array<char, 65536> characters{};
constinit std::array<char, 4096> line{};

// Filled by the interrupt handler, emptied by the code it interrupts.
class Received {
 public:
  explicit Received(const Pl011& uart) : uart_(uart) {}

  static void Handle(void* self, const ExceptionFrame& /*frame*/) {
    Received& received = *static_cast<Received*>(self);
    received.uart_.ClearReceiveInterrupt();
    while (const std::optional<char> c = received.uart_.Get()) received.Push(*c);
  }

  // The next character; sleeps until there is one.
  char Wait() {
    MaskInterrupts();
    while (head_ == tail_) {
      WaitForInterrupt();
      UnmaskInterrupts();
      MaskInterrupts();
    }
    UnmaskInterrupts();
    const std::uint64_t tail = tail_;
    const char c = characters[tail % characters.size()];
    tail_ = tail + 1;
    return c;
  }

 private:
  void Push(char c) {
    const std::uint64_t head = head_;
    if (head - tail_ == characters.size()) Fail("more input than echo can hold");
    characters[head % characters.size()] = c;
    head_ = head + 1;
  }

  const Pl011& uart_;
  std::atomic<std::uint64_t> head_ = 0;
  std::atomic<std::uint64_t> tail_ = 0;
};

// One line without its end; empty lines are passed over.
std::string_view ReadLine(Received& received) {
  std::size_t length = 0;
  while (true) {
    const char c = received.Wait();
    const bool end = c == '\r' || c == '\n';
    if (end && length > 0) return {line.data(), length};
    if (!end && length < line.size()) line[length++] = c;
  }
}

}  // namespace

void RunEcho(Guest& guest) {
  const Interrupt interrupt = guest.board().uart.interrupt;
  if (interrupt.intid == 0) Fail("the PL011 has no interrupt");
  Received received(guest.console().uart());
  guest.StartInterrupts();
  guest.gic().SetHandler(interrupt.intid, {&Received::Handle, &received});
  guest.gic().Enable(interrupt);
  guest.console().uart().EnableReceiveInterrupt();
  guest.console().Line("ready");
  std::uint64_t lines = 0;
  for (std::string_view text = ReadLine(received); text != "quit"; text = ReadLine(received)) {
    guest.console().Line("echo:", text);
    ++lines;
  }
  guest.gic().Disable(interrupt);
  guest.console().Line("lines=", lines);
}

}  // namespace guest
