// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/console_io.h"

#include <sys/socket.h>
#include <unistd.h>

#include <asio/post.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <span>

#include "vmm/machine/console_streams.h"

namespace microvm {
namespace {

constexpr std::uint8_t kEscape = 0x1d;  // Ctrl-]

// Output waits this long for more of it, so that a line costs one wake-up and not eighty.
constexpr auto kOutputDelay = std::chrono::milliseconds(1);
constexpr auto kDrainLimit = std::chrono::seconds(1);

// As read and write, but that they never block: a socket cannot be opened anew.
ssize_t ReadNow(int fd, std::span<std::uint8_t> buffer) {
  const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count >= 0 || errno != ENOTSOCK) return count;
  return ::read(fd, buffer.data(), buffer.size());
}

ssize_t WriteNow(int fd, std::span<const std::uint8_t> buffer) {
  const ssize_t count = ::send(fd, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (count >= 0 || errno != ENOTSOCK) return count;
  return ::write(fd, buffer.data(), buffer.size());
}

}  // namespace

ConsoleIo::ConsoleIo(EventLoop& loop, HostKernel& kernel, const ConsoleConfig& config,
                     std::function<void()> on_quit)
    : loop_(loop),
      on_quit_(std::move(on_quit)),
      job_control_(loop),
      notification_(loop, kernel, [this] { OnNotification(); }),
      output_(loop),
      output_delay_(loop),
      input_(loop) {
  pending_input_.reserve(input_buffer_.size());
  if (const int fd = OpenConsoleOutput(kernel, config); fd >= 0) {
    output_.assign(fd);
    if (config.path) line_.emplace(fd);
  }
  const int fd = OpenConsoleInput(kernel, config);
  if (fd < 0) return;
  input_.assign(fd);
  if (!config.path && ::isatty(STDIN_FILENO) != 0 && !TakeTerminal()) {
    input_.close();
    return;
  }
  AwaitInput();
}

// False in the background, where the terminal is somebody else's.
bool ConsoleIo::TakeTerminal() {
  // Before the terminal is raw: whoever stops us then must not find nobody to give it back.
  job_control_.add(SIGTSTP);
  job_control_.add(SIGCONT);
  terminal_.emplace();
  if (!terminal_->active()) {
    job_control_.clear();
    return false;
  }
  AwaitJobControl();
  return true;
}

void ConsoleIo::AwaitJobControl() {
  job_control_.async_wait([this](const asio::error_code& error, int signal) {
    if (error) return;
    if (signal == SIGTSTP) {
      terminal_->Stop();
    } else {
      terminal_->Continue();
    }
    AwaitJobControl();
  });
}

void ConsoleIo::Attach(ConsolePort* port) {
  port_ = port;
  if (port_ != nullptr) FeedGuest();
}

void ConsoleIo::Drain() {
  if (port_ != nullptr && !output_busy_) WriteSome();
  // A timer and not run_one_until, whose time-out Asio leaves behind on the ring.
  asio::steady_timer deadline(loop_, kDrainLimit);
  bool expired = false;
  deadline.async_wait([&expired](const asio::error_code&) { expired = true; });
  loop_.restart();
  while (output_busy_ && !expired) loop_.run_one();
  deadline.cancel();
  while (!expired) loop_.run_one();
}

void ConsoleIo::TransmitReady() noexcept {
  transmit_ready_.store(true, std::memory_order_release);
  notification_.Signal();
}

void ConsoleIo::ReceiveReady() noexcept {
  receive_ready_.store(true, std::memory_order_release);
  notification_.Signal();
}

void ConsoleIo::OnNotification() {
  if (receive_ready_.exchange(false, std::memory_order_acquire)) FeedGuest();
  if (!transmit_ready_.exchange(false, std::memory_order_acquire) || output_busy_) return;
  output_busy_ = true;
  output_delay_.expires_after(kOutputDelay);
  output_delay_.async_wait([this](const asio::error_code&) { WriteSome(); });
}

void ConsoleIo::WriteSome() {
  output_length_ = port_ == nullptr ? 0 : port_->TakeTransmitted(output_buffer_);
  output_busy_ = output_length_ > 0;
  if (output_busy_) WriteBuffer(0);
}

void ConsoleIo::WriteBuffer(std::size_t from) {
  if (!output_.is_open()) {
    asio::post(loop_, [this] { WriteSome(); });  // nobody listens; the guest need not wait
    return;
  }
  output_.async_wait(asio::posix::descriptor_base::wait_write,
                     [this, from](const asio::error_code& error) {
                       if (error != asio::error::operation_aborted) OnWritable(from);
                     });
}

void ConsoleIo::OnWritable(std::size_t from) {
  const std::span<const std::uint8_t> rest =
      std::span(output_buffer_).subspan(from, output_length_ - from);
  const ssize_t count = WriteNow(output_.native_handle(), rest);
  if (count > 0) from += static_cast<std::size_t>(count);
  const bool is_taken = count >= 0 || errno == EAGAIN || errno == EINTR;
  if (is_taken && from < output_length_) {
    WriteBuffer(from);
  } else {
    WriteSome();
  }
}

void ConsoleIo::AwaitInput() {
  if (input_awaited_) return;
  input_awaited_ = true;
  input_.async_wait(asio::posix::descriptor_base::wait_read, [this](const asio::error_code& error) {
    if (error == asio::error::operation_aborted) return;
    input_awaited_ = false;
    const ssize_t count = ReadNow(input_.native_handle(), input_buffer_);
    if (count > 0) {
      OnInput(static_cast<std::size_t>(count));
    } else if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      AwaitInput();
    } else {
      input_.close();  // the end of input
    }
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
  if (port_ != nullptr && !pending_input_.empty()) {
    const std::size_t taken = port_->Receive(pending_input_);
    pending_input_.erase(pending_input_.begin(),
                         pending_input_.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  // What the guest does not take stays with the sender: nothing here grows.
  if (pending_input_.empty() && input_.is_open()) AwaitInput();
}

}  // namespace microvm
