// SPDX-License-Identifier: Apache-2.0
#include "image/ecu/can_socket.h"

#include <linux/can/raw.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <thread>

namespace ecu {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

[[noreturn]] void ThrowErrno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

CanSocket::CanSocket(const std::string& interface_name)
    : fd_(::socket(PF_CAN, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, CAN_RAW)) {
  if (fd_ < 0) ThrowErrno("socket(PF_CAN)");
  const int enable = 1;
  sockaddr_can address{};
  address.can_family = AF_CAN;
  address.can_ifindex = static_cast<int>(::if_nametoindex(interface_name.c_str()));
  sockaddr generic{};
  static_assert(sizeof generic >= offsetof(sockaddr_can, can_addr));
  std::memcpy(&generic, &address, sizeof generic);
  if (address.can_ifindex == 0 ||
      ::setsockopt(fd_, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &enable, sizeof enable) != 0 ||
      ::bind(fd_, &generic, sizeof generic) != 0) {
    const int error = errno;
    ::close(fd_);
    errno = error;
    ThrowErrno("CAN interface " + interface_name);
  }
}

CanSocket::~CanSocket() { ::close(fd_); }

bool CanSocket::TrySend(const canfd_frame& frame) {
  if (::write(fd_, &frame, sizeof frame) >= 0) return true;
  if (errno != ENOBUFS && errno != EAGAIN) ThrowErrno("send a CAN frame");
  return false;
}

bool CanSocket::Send(const canfd_frame& frame, milliseconds patience) {
  // ENOBUFS comes from the interface's queue, of which poll knows nothing: looking again is all one
  // can do.
  const auto deadline = steady_clock::now() + patience;
  while (!TrySend(frame)) {
    if (steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

std::optional<canfd_frame> CanSocket::Receive(milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  while (true) {
    canfd_frame frame{};
    const ssize_t bytes = ::read(fd_, &frame, sizeof frame);
    if (bytes == CANFD_MTU) return frame;
    if (bytes >= 0) continue;
    if (errno != EAGAIN && errno != EINTR) ThrowErrno("receive a CAN frame");
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (left <= milliseconds(0)) return std::nullopt;
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(left.count())) < 0 && errno != EINTR) {
      ThrowErrno("poll");
    }
  }
}

}  // namespace ecu
