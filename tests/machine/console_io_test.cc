// SPDX-License-Identifier: Apache-2.0
// The host's end of a console by its path: files, FIFOs, terminals.
#include "vmm/machine/console_io.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_object.h"
#include "tests/fakes/host_tree.h"
#include "vmm/host/file.h"
#include "vmm/host/linux_kernel.h"
#include "vmm/machine/console_streams.h"

namespace microvm {
namespace {

using fakes::Contains;

// A guest that has sent something, and takes some input.
class ScriptedPort final : public ConsolePort {
 public:
  std::size_t TakeTransmitted(std::span<std::uint8_t> out) noexcept override {
    const std::size_t count = std::min(out.size(), sent.size());
    std::copy_n(sent.begin(), count, out.begin());
    sent.erase(0, count);
    return count;
  }
  std::size_t Receive(std::span<const std::uint8_t> in) noexcept override {
    const std::size_t count = std::min(in.size(), room);
    received.append(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(count));
    room -= count;
    return count;
  }

  std::string sent;
  std::string received;
  std::size_t room = 0;
};

struct PathConsole {
  explicit PathConsole(const std::filesystem::path& path)
      : io(loop, kernel, {.kind = ConsoleKind::kHvc, .path = path}, [] {}) {
    io.Attach(&port);
  }
  void Send(const std::string& text) {
    port.sent += text;
    io.Drain();
  }

  EventLoop loop;
  LinuxKernel kernel;
  ScriptedPort port;
  ConsoleIo io;
};

std::string ReadAvailable(int fd) {
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t count = 0; (count = ::read(fd, piece.data(), piece.size())) > 0;) {
    text.append(piece.data(), static_cast<std::size_t>(count));
  }
  return text;
}

TEST_CASE("a console's file is made for its owner alone, and appended to") {
  const fakes::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "log";
  {
    PathConsole console(path);
    console.Send("one\n");
  }
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  PathConsole console(path);
  console.Send(std::string(10'000, 'x'));
  CHECK(ReadTextFile(path.string()) == "one\n" + std::string(10'000, 'x'));
}

TEST_CASE("a FIFO without a reader drops output, and has it again with one") {
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  const fakes::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "fifo";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  PathConsole console(path);
  for (int time = 0; time < 2; ++time) {
    console.Send(std::string(200'000, 'x'));
    CHECK(console.port.sent.empty());
    const fakes::RealFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
    console.Send("heard");
    CHECK(ReadAvailable(reader.get()) == "heard");
  }
  ::signal(SIGPIPE, before);
}

TEST_CASE("a slow reader gets all there is, and the guest waits for it") {
  const fakes::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "fifo";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  PathConsole console(path);
  const fakes::RealFd reader(::open(path.c_str(), O_RDONLY | O_NONBLOCK));
  std::string text;
  for (int line = 0; line < 30'000; ++line) text += std::to_string(line) + "\n";
  console.Send(text);  // gives up after a second
  CHECK(console.port.sent.size() > text.size() - 80'000);
  std::string heard;
  while (heard.size() < text.size()) {
    heard += ReadAvailable(reader.get());
    console.loop.restart();
    console.loop.poll();
  }
  CHECK((heard == text));
}

// A pseudo-terminal, of which the console gets the other end.
struct Terminal {
  Terminal() {
    REQUIRE(::grantpt(master.get()) == 0);
    REQUIRE(::unlockpt(master.get()) == 0);
  }
  [[nodiscard]] std::string path() const {
    return ::ptsname(master.get());  // NOLINT(concurrency-mt-unsafe)
  }
  [[nodiscard]] bool IsCanonical() const {
    termios mode{};
    return ::tcgetattr(master.get(), &mode) == 0 && (mode.c_lflag & ICANON) != 0;
  }

  fakes::RealFd master{::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK)};
};

TEST_CASE("a terminal is both ways, byte for byte, and has its mode back at the end") {
  const Terminal terminal;
  {
    PathConsole console(terminal.path());
    CHECK_FALSE(terminal.IsCanonical());
    console.Send("out\n");
    CHECK(ReadAvailable(terminal.master.get()) == "out\n");
    console.port.room = 4;
    CHECK(::write(terminal.master.get(), "i\x03\x1dq\r.", 6) == 6);
    while (console.port.received.size() < 4) console.loop.run_one();
    CHECK(console.port.received == "i\x03\x1dq");
    // The rest waits until the guest has room.
    console.port.room = 100;
    console.io.ReceiveReady();
    while (console.port.received.size() < 6) console.loop.run_one();
    CHECK(console.port.received == "i\x03\x1dq\r.");
  }
  CHECK(terminal.IsCanonical());
}

TEST_CASE("a terminal whose other end is gone does not hold the guest up") {
  auto terminal = std::make_unique<Terminal>();
  PathConsole console(terminal->path());
  terminal.reset();
  console.Send(std::string(200'000, 'x'));
  CHECK(console.port.sent.empty());
  console.loop.poll();  // the end of input
}

TEST_CASE("what cannot be a console is refused, by a check as by a start") {
  const fakes::TemporaryFolder folder;
  LinuxKernel kernel;
  const auto complaints = [&](const std::filesystem::path& path) {
    const ConsoleConfig config{.kind = ConsoleKind::kHvc, .path = path};
    const std::string checked = fakes::ChainOf([&] { CheckConsole(kernel, config); });
    const std::string opened = fakes::ChainOf([&] { PathConsole{path}; });
    CHECK(Contains(checked, "console " + path.string() + "\n"));
    CHECK(Contains(opened, "console " + path.string() + "\n"));
    return std::pair(checked, opened);
  };
  const auto [checked, opened] = complaints(folder.path());
  CHECK(checked == opened);
  CHECK(Contains(checked, "it is neither a file, a FIFO nor a terminal"));
  const auto [missing, unmade] = complaints(folder.path() / "none" / "log");
  CHECK(Contains(missing, "it cannot be opened"));
  CHECK(Contains(missing, "No such file or directory"));
  CHECK(Contains(unmade, "it cannot be opened"));
}

TEST_CASE("a check makes no file, and writes none") {
  const fakes::TemporaryFolder folder;
  LinuxKernel kernel;
  const std::filesystem::path absent = folder.path() / "absent";
  const std::filesystem::path there = folder.Write("there", "text");
  for (const auto& path : {absent, there}) {
    CheckConsole(kernel, {.kind = ConsoleKind::kHvc, .path = path});
  }
  CHECK_FALSE(std::filesystem::exists(absent));
  CHECK(ReadTextFile(there.string()) == "text");
  const Terminal terminal;
  CheckConsole(kernel, {.kind = ConsoleKind::kHvc, .path = terminal.path()});
  CHECK(terminal.IsCanonical());
}

}  // namespace
}  // namespace microvm
