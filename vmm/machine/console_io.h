// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "devices/console_port.h"
#include "vmm/config/console_config.h"
#include "vmm/machine/event_loop.h"
#include "vmm/machine/loop_event.h"
#include "vmm/machine/terminal.h"

namespace microvm {

// Connects a console of the guest's with the host's end of it, on the event loop. It outlives the
// boots of a guest, each of which has a PL011 of its own. Where standard input is a terminal,
// Ctrl-] is an escape: Ctrl-] q ends the guest, Ctrl-] Ctrl-] sends one Ctrl-].
//
// Output waits for an end that is slow, and is dropped where there is none: nobody reads the pipe
// any more, the disk is full. It goes on when there is one again.
//
// TransmitReady and ReceiveReady are called by vCPU threads; all else by the loop's thread.
class ConsoleIo final : public ConsoleHost {
 public:
  // `on_quit` is called when the user asks to end the guest. Throws a chain.
  ConsoleIo(EventLoop& loop, HostKernel& kernel, const ConsoleConfig& config,
            std::function<void()> on_quit);

  // From now on `port` is the guest's console; null for none.
  void Attach(ConsolePort* port);
  // Runs the loop until all output is written, for one second at most.
  void Drain();

  void TransmitReady() noexcept override;
  void ReceiveReady() noexcept override;

 private:
  [[nodiscard]] bool TakeTerminal();
  void AwaitJobControl();
  void OnNotification();
  void WriteSome();
  void WriteBuffer(std::size_t from);
  void OnWritable(std::size_t from);
  void AwaitInput();
  void OnInput(std::size_t count);
  void FeedGuest();

  EventLoop& loop_;
  std::function<void()> on_quit_;
  std::optional<RawTerminal> terminal_;  // on standard input
  std::optional<RawLine> line_;          // by a path
  asio::signal_set job_control_;
  ConsolePort* port_ = nullptr;

  LoopEvent notification_;
  std::atomic<bool> transmit_ready_{false};
  std::atomic<bool> receive_ready_{false};

  asio::posix::stream_descriptor output_;
  asio::steady_timer output_delay_;
  bool output_busy_ = false;
  std::array<std::uint8_t, 4096> output_buffer_{};
  std::size_t output_length_ = 0;

  asio::posix::stream_descriptor input_;
  std::array<std::uint8_t, 256> input_buffer_{};
  std::vector<std::uint8_t> pending_input_;  // read, and not yet taken by the guest
  bool input_awaited_ = false;
  bool escape_ = false;
};

}  // namespace microvm
