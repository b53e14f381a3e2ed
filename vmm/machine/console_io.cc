// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/console_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <asio/buffer.hpp>
#include <asio/post.hpp>
#include <cstdio>

#include "vmm/host/error.h"

namespace microvm {
namespace {

constexpr std::uint8_t kEscape = 0x1d;  // Ctrl-]

// Output waits this long for more of it, so that a line costs one wake-up and not eighty.
constexpr auto kOutputDelay = std::chrono::milliseconds(1);
constexpr auto kDrainLimit = std::chrono::seconds(1);

// Asio closes what it is given.
int Duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) ThrowErrno("fcntl (F_DUPFD_CLOEXEC)");
  return copy;
}

}  // namespace

ConsoleIo::ConsoleIo(EventLoop& loop, HostKernel& kernel, const ConsoleConfig& config,
                     std::function<void()> on_quit)
    : loop_(loop),
      on_quit_(std::move(on_quit)),
      notification_(MakeEventFd(kernel)),
      notifications_(loop, Duplicate(notification_.get())),
      output_(loop),
      output_delay_(loop),
      input_(loop) {
  if (!config.enabled) return;
  // A closed standard stream is a console nobody sees, not an error.
  if (::fcntl(STDOUT_FILENO, F_GETFD) >= 0) output_.assign(Duplicate(STDOUT_FILENO));
  AwaitNotification();
  if (!config.input || ::fcntl(STDIN_FILENO, F_GETFD) < 0) return;
  if (::isatty(STDIN_FILENO) != 0) {
    terminal_.emplace();
    if (!terminal_->active()) return;  // in the background: the terminal is somebody else's
  }
  input_.assign(Duplicate(STDIN_FILENO));
  ReadInput();
}

void ConsoleIo::Attach(Pl011* uart) {
  uart_ = uart;
  if (uart_ != nullptr) FeedGuest();
}

void ConsoleIo::Drain() {
  if (uart_ != nullptr && !output_busy_) WriteSome();
  const auto deadline = std::chrono::steady_clock::now() + kDrainLimit;
  loop_.restart();
  while (output_busy_ && std::chrono::steady_clock::now() < deadline) loop_.run_one_until(deadline);
}

void ConsoleIo::TransmitReady() noexcept {
  transmit_ready_.store(true, std::memory_order_release);
  Notify();
}

void ConsoleIo::ReceiveReady() noexcept {
  receive_ready_.store(true, std::memory_order_release);
  Notify();
}

void ConsoleIo::Notify() noexcept {
  const std::uint64_t one = 1;
  // It cannot block, and fails only when it is signalled already.
  [[maybe_unused]] const ssize_t written = ::write(notification_.get(), &one, sizeof(one));
}

void ConsoleIo::AwaitNotification() {
  notifications_.async_read_some(asio::buffer(&notification_count_, sizeof(notification_count_)),
                                 [this](const asio::error_code& error, std::size_t) {
                                   if (error) return;
                                   OnNotification();
                                   AwaitNotification();
                                 });
}

void ConsoleIo::OnNotification() {
  if (receive_ready_.exchange(false, std::memory_order_acquire)) FeedGuest();
  if (!transmit_ready_.exchange(false, std::memory_order_acquire) || output_busy_) return;
  output_busy_ = true;
  output_delay_.expires_after(kOutputDelay);
  output_delay_.async_wait([this](const asio::error_code&) { WriteSome(); });
}

void ConsoleIo::WriteSome() {
  output_length_ = uart_ == nullptr ? 0 : uart_->TakeTransmitted(output_buffer_);
  output_busy_ = output_length_ > 0;
  if (output_busy_) WriteBuffer(0);
}

void ConsoleIo::WriteBuffer(std::size_t from) {
  if (output_broken_ || !output_.is_open()) {
    asio::post(loop_, [this] { WriteSome(); });  // nobody listens; the guest need not wait
    return;
  }
  output_.async_write_some(asio::buffer(output_buffer_.data() + from, output_length_ - from),
                           [this, from](const asio::error_code& error, std::size_t count) {
                             if (error == asio::error::operation_aborted) return;
                             output_broken_ = static_cast<bool>(error);
                             if (!error && from + count < output_length_) {
                               WriteBuffer(from + count);
                             } else {
                               WriteSome();
                             }
                           });
}

void ConsoleIo::ReadInput() {
  input_.async_read_some(asio::buffer(input_buffer_),
                         [this](const asio::error_code& error, std::size_t count) {
                           if (error) return;  // end of input, or our own end
                           OnInput(count);
                         });
}

void ConsoleIo::OnInput(std::size_t count) {
  for (std::size_t at = 0; at < count; ++at) {
    const std::uint8_t byte = input_buffer_[at];
    if (!terminal_) {
      pending_input_.push_back(byte);
    } else if (!escape_ && byte == kEscape) {
      escape_ = true;
    } else if (escape_ && byte == 'q') {
      on_quit_();
      return;
    } else {
      if (escape_ && byte != kEscape) {
        std::fputs("\r\nmicrovm: Ctrl-] q ends the guest, Ctrl-] Ctrl-] sends Ctrl-]\r\n", stderr);
      } else {
        pending_input_.push_back(byte);
      }
      escape_ = false;
    }
  }
  FeedGuest();
}

void ConsoleIo::FeedGuest() {
  if (uart_ != nullptr && !pending_input_.empty()) {
    const std::size_t taken = uart_->Receive(pending_input_);
    pending_input_.erase(pending_input_.begin(),
                         pending_input_.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  // What the guest does not take stays with the sender: nothing here grows.
  if (pending_input_.empty() && input_.is_open()) ReadInput();
}

}  // namespace microvm
