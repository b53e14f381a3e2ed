// SPDX-License-Identifier: Apache-2.0
// The console in a terminal: a child process with a pseudo-terminal of its own.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>

#include "tests/fakes/board.h"

namespace microvm {
namespace {

using fakes::Board;

bool IsRaw(int terminal) {
  termios mode{};
  return ::tcgetattr(terminal, &mode) == 0 && (mode.c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

// A process whose controlling terminal is a pseudo-terminal, of which we hold the other end.
class Child {
 public:
  explicit Child(const std::function<int()>& body) : master_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    REQUIRE(::grantpt(master_.get()) == 0);
    REQUIRE(::unlockpt(master_.get()) == 0);
    const std::string slave = ::ptsname(master_.get());  // NOLINT(concurrency-mt-unsafe)
    REQUIRE(::tcgetattr(master_.get(), &mode_) == 0);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::setsid();
    const int terminal = ::open(slave.c_str(), O_RDWR);
    ::ioctl(terminal, TIOCSCTTY, 0);
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(terminal, stream);
    // Ended by a signal, it cannot remove its own.
    ::setenv("TMPDIR", folder_.path().c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
    std::_Exit(body());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child(Child&&) = delete;
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  // Waits until the terminal is, or is not, raw; false after ten seconds.
  [[nodiscard]] bool Becomes(bool raw) const {
    for (int wait = 0; wait < 1000; ++wait) {
      if (IsRaw(master_.get()) == raw) return true;
      ::usleep(10'000);
    }
    return false;
  }
  void Type(const std::string& text) const {
    CHECK(::write(master_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  void Signal(int signal) const { CHECK(::kill(pid_, signal) == 0); }
  // Waits for it to stop.
  [[nodiscard]] bool IsStopped() const {
    int status = 0;
    return ::waitpid(pid_, &status, WUNTRACED) == pid_ && WIFSTOPPED(status);
  }
  [[nodiscard]] const termios& mode() const { return mode_; }
  void SetMode(const termios& mode) const {
    CHECK(::tcsetattr(master_.get(), TCSANOW, &mode) == 0);
  }
  // The wait status of its end.
  int Wait() {
    int status = 0;
    CHECK(::waitpid(pid_, &status, 0) == pid_);
    pid_ = 0;
    return status;
  }

 private:
  fakes::TemporaryFolder folder_;
  fakes::RealFd master_;
  termios mode_{};  // before it
  pid_t pid_ = 0;
};

constexpr std::uint64_t kConsole = 0x900'0000;

// A guest with a console that runs until something from outside ends it; gives the reason.
int RunUntilEnded() {
  Board board;
  board.config.consoles = {ConsoleConfig{}};
  return static_cast<int>(board.Run().reason.value_or(StopReason::kCrash));
}

TEST_CASE("a terminal is raw while the guest runs; Ctrl-] q ends it and restores the terminal") {
  Child child(RunUntilEnded);
  REQUIRE(child.Becomes(true));
  child.Type("text\x1dq");
  const int status = child.Wait();
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == static_cast<int>(StopReason::kConsoleQuit));
  CHECK(child.Becomes(false));
}

TEST_CASE("a stopped program gives the terminal back, and has it raw again when it goes on") {
  Child child(RunUntilEnded);
  REQUIRE(child.Becomes(true));
  child.Signal(SIGTSTP);
  CHECK(child.IsStopped());
  CHECK(child.Becomes(false));
  child.Signal(SIGCONT);
  CHECK(child.Becomes(true));
  child.Type("\x1dq");
  CHECK(WEXITSTATUS(child.Wait()) == static_cast<int>(StopReason::kConsoleQuit));
  CHECK(child.Becomes(false));
}

TEST_CASE("a program that was stopped without a word has the terminal raw again too") {
  Child child(RunUntilEnded);
  const termios mode = child.mode();
  REQUIRE(child.Becomes(true));
  child.Signal(SIGSTOP);
  CHECK(child.IsStopped());
  child.SetMode(mode);  // as a shell does when its job stops
  REQUIRE(child.Becomes(false));
  child.Signal(SIGCONT);
  CHECK(child.Becomes(true));
  child.Type("\x1dq");
  CHECK(WEXITSTATUS(child.Wait()) == static_cast<int>(StopReason::kConsoleQuit));
  CHECK(child.Becomes(false));
}

TEST_CASE("Ctrl-C in the terminal is the guest's; SIGTERM ends it and restores the terminal") {
  Child child([] {
    Board board;
    board.config.consoles = {ConsoleConfig{}};
    std::vector<fakes::VcpuExit> script;
    for (int poll = 0; poll < 3000; ++poll) {
      script.push_back(fakes::MmioRead(kConsole, 4));
      script.push_back(fakes::Meanwhile([&board] {
        const auto reads = board.kernel.mmio_reads();
        if (!reads.empty() && reads.back() == 0x03) ::kill(::getpid(), SIGTERM);
        ::usleep(5'000);
      }));
    }
    board.kernel.Script(0, std::move(script));
    return static_cast<int>(board.Run().reason.value_or(StopReason::kCrash));
  });
  REQUIRE(child.Becomes(true));
  child.Type("\x03");
  CHECK(WEXITSTATUS(child.Wait()) == static_cast<int>(StopReason::kTerminated));
  CHECK(child.Becomes(false));
}

TEST_CASE("Ctrl-] Ctrl-] sends one Ctrl-], and Ctrl-] with anything else sends nothing") {
  Child child([] {
    Board board;
    board.config.consoles = {ConsoleConfig{}};
    std::vector<fakes::VcpuExit> script;
    for (int poll = 0; poll < 3000; ++poll) {
      script.push_back(fakes::MmioRead(kConsole, 4));
      script.push_back(fakes::Meanwhile([&board] {
        std::string seen;
        for (const std::uint64_t value : board.kernel.mmio_reads()) {
          if (value != 0) seen.push_back(static_cast<char>(value));
        }
        if (!seen.empty() && seen.back() == '.') std::_Exit(seen == "a\x1d." ? 42 : 43);
        ::usleep(2'000);
      }));
    }
    board.kernel.Script(0, std::move(script));
    board.Run();
    return 44;
  });
  REQUIRE(child.Becomes(true));
  child.Type("a\x1dx\x1d\x1d.");
  CHECK(WEXITSTATUS(child.Wait()) == 42);
}

TEST_CASE("a fatal signal restores the terminal too") {
  for (const int signal : {SIGABRT, SIGPWR, SIGRTMAX}) {
    CAPTURE(signal);
    Child child([signal] {
      Board board;
      board.config.consoles = {ConsoleConfig{}};
      board.kernel.Script(0, {fakes::Meanwhile([signal] {
                            ::usleep(300'000);
                            ::kill(::getpid(), signal);
                          })});
      board.Run();
      return 0;
    });
    REQUIRE(child.Becomes(true));
    const int status = child.Wait();
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == signal);
    CHECK(child.Becomes(false));
  }
}

}  // namespace
}  // namespace microvm
