// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/console_streams.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "vmm/host/error.h"
#include "vmm/host/fd.h"
#include "vmm/machine/loop_event.h"

namespace microvm {
namespace {

namespace fs = std::filesystem;

constexpr int kForLoop = O_NONBLOCK | O_NOCTTY;
constexpr const char* kPathRemedy =
    "give 'path' a file, a FIFO or a terminal that this user may use, or the name of a new file in "
    "a folder of this user's";

fs::file_type TypeOf(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  const bool is_refused = type == fs::file_type::block || type == fs::file_type::directory ||
                          type == fs::file_type::socket;
  if (is_refused) {
    throw Error("it is neither a file, a FIFO nor a terminal", "give 'path' one of them");
  }
  return type;
}

Fd OpenPath(HostKernel& kernel, const ConsoleConfig& config, int flags) {
  return WithContext(Error("it cannot be opened", kPathRemedy),
                     [&] { return OpenFd(kernel, config.path->string(), flags | kForLoop); });
}

Fd OpenPathForOutput(HostKernel& kernel, const ConsoleConfig& config) {
  const fs::file_type type = TypeOf(*config.path);
  // Where nobody reads it yet, a FIFO can be opened to be written only while we do.
  Fd reader;
  if (type == fs::file_type::fifo) reader = OpenPath(kernel, config, O_RDONLY);
  const bool is_file = type == fs::file_type::regular || type == fs::file_type::not_found;
  return OpenPath(kernel, config, is_file ? O_WRONLY | O_APPEND | O_CREAT : O_WRONLY);
}

// The flag O_NONBLOCK belongs to what we share with our parent and its other children, so terminals
// and pipes are opened anew where that is allowed. A stream that is closed is a console nobody
// sees, not an error.
int OpenStandardStream(int fd, int access) {
  if (::fcntl(fd, F_GETFD) < 0) return -1;
  struct stat status {};
  if (::fstat(fd, &status) == 0 && (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode))) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const int own = ::open(path.c_str(), access | kForLoop | O_CLOEXEC);
    if (own >= 0) return own;
  }
  return DuplicateForLoop(fd);
}

Error PathContext(const ConsoleConfig& config) { return Error("console " + config.path->string()); }

}  // namespace

int OpenConsoleOutput(HostKernel& kernel, const ConsoleConfig& config) {
  if (!config.path) return OpenStandardStream(STDOUT_FILENO, O_WRONLY);
  return WithContext(PathContext(config),
                     [&] { return DuplicateForLoop(OpenPathForOutput(kernel, config).get()); });
}

int OpenConsoleInput(HostKernel& kernel, const ConsoleConfig& config) {
  if (!config.input) return -1;
  if (!config.path) return OpenStandardStream(STDIN_FILENO, O_RDONLY);
  return WithContext(PathContext(config), [&] {
    // A file has none, and a FIFO one direction.
    if (TypeOf(*config.path) != fs::file_type::character) return -1;
    return DuplicateForLoop(OpenPath(kernel, config, O_RDONLY).get());
  });
}

void CheckConsole(HostKernel& kernel, const ConsoleConfig& config) {
  if (!config.path) return;
  WithContext(PathContext(config), [&] {
    if (TypeOf(*config.path) != fs::file_type::not_found) {
      const Fd output = OpenPathForOutput(kernel, config);
      return;
    }
    const std::string folder = config.path->parent_path().string();
    if (::access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) == 0) return;
    const int error = errno;
    WithContext(Error("it cannot be opened", kPathRemedy),
                [&] { ThrowErrno(error, ("access " + folder).c_str()); });
  });
  if (const int input = OpenConsoleInput(kernel, config); input >= 0) ::close(input);
}

}  // namespace microvm
