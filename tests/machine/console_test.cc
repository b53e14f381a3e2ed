// SPDX-License-Identifier: Apache-2.0
// The guest's console on standard input and output.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string>
#include <thread>

#include "tests/devices/pl011_guest.h"
#include "tests/fakes/board.h"
#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::Board;
using namespace fakes::pl011;  // NOLINT(google-build-using-namespace): register names

constexpr std::uint64_t kUartAddress = 0x900'0000;

// Puts `fd` in the place of standard input while it lives; gives it back.
class StandardInput {
 public:
  explicit StandardInput(int fd) : saved_(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)) {
    ::dup2(fd, STDIN_FILENO);
  }
  StandardInput(const StandardInput&) = delete;
  StandardInput& operator=(const StandardInput&) = delete;
  StandardInput(StandardInput&&) = delete;
  StandardInput& operator=(StandardInput&&) = delete;
  ~StandardInput() {
    ::dup2(saved_, STDIN_FILENO);
    ::close(saved_);
  }

 private:
  int saved_;
};

struct Ends {
  explicit Ends(bool socket) {
    int fds[2] = {-1, -1};  // NOLINT(modernize-avoid-c-arrays): the kernel's
    const int status = socket ? ::socketpair(AF_UNIX, SOCK_STREAM, 0, &fds[0]) : ::pipe(&fds[0]);
    REQUIRE(status == 0);
    read = std::make_unique<fakes::RealFd>(fds[0]);
    write = std::make_unique<fakes::RealFd>(fds[1]);
  }
  void Send(const std::string& text) const {
    CHECK(::write(write->get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  std::unique_ptr<fakes::RealFd> read;
  std::unique_ptr<fakes::RealFd> write;
};

Board::Outcome RunWithConsole(Board& board, std::string& output) {
  if (board.config.consoles.empty()) board.config.consoles = {ConsoleConfig{}};
  const fakes::CapturedStream out(STDOUT_FILENO);
  Board::Outcome outcome = board.Run();
  output = out.text();
  return outcome;
}

std::vector<fakes::VcpuExit> Writes(const std::string& text) {
  std::vector<fakes::VcpuExit> exits;
  for (const char c : text) {
    exits.push_back(fakes::MmioWrite(kUartAddress + kDr, 1, static_cast<std::uint8_t>(c)));
  }
  return exits;
}

TEST_CASE("what a guest writes before it powers off is written out, all of it") {
  Board board;
  board.config.consoles = {{.input = false}};
  std::string text;
  for (int line = 0; line < 300; ++line) text += "line " + std::to_string(line) + "\n";
  auto script = Writes(text);
  script.push_back(fakes::PowerOff());
  board.kernel.Script(0, std::move(script));
  std::string output;
  CHECK(RunWithConsole(board, output).reason == StopReason::kPowerOff);
  CHECK(output.size() == text.size());
  CHECK((output == text));
}

TEST_CASE("the console goes on over a reboot") {
  Board board;
  board.config.consoles = {{.input = false}};
  auto first = Writes("one ");
  first.push_back(fakes::Reset());
  board.kernel.Script(0, std::move(first));
  auto second = Writes("two");
  second.push_back(fakes::PowerOff());
  board.kernel.Script(0, std::move(second));
  std::string output;
  RunWithConsole(board, output);
  CHECK(output == "one two");
}

TEST_CASE("a console that nobody listens to does not hold the guest up") {
  Board board;
  board.config.consoles = {{.input = false}};
  const Ends pipe(false);
  const int saved = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  std::fflush(stdout);
  ::dup2(pipe.write->get(), STDOUT_FILENO);
  const_cast<Ends&>(pipe).read.reset();
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  auto script = Writes(std::string(9000, 'x'));
  script.push_back(fakes::PowerOff());
  board.kernel.Script(0, std::move(script));
  const Board::Outcome outcome = board.Run();
  ::signal(SIGPIPE, before);
  ::dup2(saved, STDOUT_FILENO);
  ::close(saved);
  CHECK(outcome.reason == StopReason::kPowerOff);
}

// A guest that reads `expected` bytes from its UART, through `resets` reboots, and powers off.
class Reader {
 public:
  explicit Reader(std::size_t expected) : expected_(expected) {}

  // Reads until it has all, one exit at a time.
  std::vector<fakes::VcpuExit> Script(std::size_t polls) {
    std::vector<fakes::VcpuExit> exits;
    exits.push_back(fakes::MmioWrite(kUartAddress + kLcrH, 4, kFifoEnable));
    for (std::size_t count = 0; count < polls; ++count) {
      exits.push_back(fakes::MmioRead(kUartAddress + kDr, 4));
      if (count % 8 == 7) exits.push_back(fakes::Meanwhile([] { ::usleep(300); }));
    }
    exits.push_back(fakes::PowerOff());
    return exits;
  }
  [[nodiscard]] std::string Text(const fakes::FakeKernel& kernel) const {
    std::string text;
    for (const std::uint64_t value : kernel.mmio_reads()) {
      if (value != 0) text.push_back(static_cast<char>(value));
    }
    return text.substr(0, expected_);
  }

 private:
  std::size_t expected_;
};

TEST_CASE("input reaches the guest complete and in order, faster than it reads or not") {
  std::string sent;
  for (int count = 0; count < 200; ++count) sent += "input " + std::to_string(count) + ";";
  for (const bool socket : {false, true}) {
    CAPTURE(socket);
    Board board;
    const Ends ends(socket);
    ends.Send(sent);
    const StandardInput input(ends.read->get());
    Reader reader(sent.size());
    board.kernel.Script(0, reader.Script(sent.size() * 4));
    std::string output;
    RunWithConsole(board, output);
    CHECK(reader.Text(board.kernel) == sent);
  }
}

TEST_CASE("input that is a socket does not block the loop, not even after reboots") {
  Board board;
  const Ends ends(true);
  const StandardInput input(ends.read->get());
  constexpr int kResets = 3;
  for (int boot = 0; boot < kResets; ++boot) board.kernel.Script(0, {fakes::Reset()});
  board.kernel.Script(0, {fakes::Meanwhile([&] {
                        ends.Send("a");
                        ::usleep(50'000);
                        // A loop that blocks in read(2) sees neither this nor its own end.
                        ::kill(::getpid(), SIGTERM);
                      })});
  std::atomic<bool> done{false};
  std::thread rescue([&] {
    for (int wait = 0; wait < 100 && !done; ++wait) ::usleep(50'000);
    if (!done) ends.Send("rescue");
  });
  std::string output;
  const Board::Outcome outcome = RunWithConsole(board, output);
  const bool rescued = done.exchange(true);
  rescue.join();
  CHECK_FALSE(rescued);
  CHECK(outcome.reason == StopReason::kTerminated);
  char byte = 0;
  CHECK(::recv(ends.read->get(), &byte, 1, MSG_DONTWAIT) <= 0);
}

TEST_CASE("a socket that has less than the kernel would wait for does not block the loop") {
  Board board;
  const Ends ends(true);
  const int wanted = 2;  // read(2) waits for both, poll(2) for one
  REQUIRE(::setsockopt(ends.read->get(), SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof(wanted)) == 0);
  const StandardInput input(ends.read->get());
  ends.Send("a");
  board.kernel.Script(0, {fakes::Meanwhile([] { ::usleep(50'000); }), fakes::PowerOff()});
  std::atomic<bool> done{false};
  std::atomic<bool> rescued{false};
  std::thread rescue([&] {
    for (int wait = 0; wait < 100 && !done; ++wait) ::usleep(50'000);
    if (done) return;
    rescued = true;
    ends.Send("rescue");
  });
  std::string output;
  CHECK(RunWithConsole(board, output).reason == StopReason::kPowerOff);
  done = true;
  rescue.join();
  CHECK_FALSE(rescued);
}

TEST_CASE("output into a socket is complete") {
  Board board;
  board.config.consoles = {{.input = false}};
  const Ends ends(true);
  const int saved = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  std::fflush(stdout);
  ::dup2(ends.write->get(), STDOUT_FILENO);
  const std::string text(10'000, 'x');
  auto script = Writes(text);
  script.push_back(fakes::PowerOff());
  board.kernel.Script(0, std::move(script));
  // A socket holds few small messages: it fills up again and again.
  std::string output;
  std::thread reader([&] {
    std::array<char, 4096> piece{};
    ssize_t count = 0;
    while ((count = ::recv(ends.read->get(), piece.data(), piece.size(), 0)) > 0) {
      output.append(piece.data(), static_cast<std::size_t>(count));
    }
  });
  const Board::Outcome outcome = board.Run();
  ::shutdown(STDOUT_FILENO, SHUT_WR);
  reader.join();
  ::dup2(saved, STDOUT_FILENO);
  ::close(saved);
  CHECK(outcome.reason == StopReason::kPowerOff);
  CHECK((output == text));
}

TEST_CASE("closed standard streams are no error") {
  Board board;
  const int in = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  const int out = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  std::fflush(stdout);
  ::close(STDIN_FILENO);
  ::close(STDOUT_FILENO);
  auto script = Writes("x");
  script.push_back(fakes::PowerOff());
  board.kernel.Script(0, std::move(script));
  board.config.consoles = {ConsoleConfig{}};
  const Board::Outcome outcome = board.Run();
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::close(in);
  ::close(out);
  CHECK(outcome.chain == "");
  CHECK(outcome.reason == StopReason::kPowerOff);
}

}  // namespace
}  // namespace microvm
