// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/host/linux_kernel.h"

namespace microvm::fakes {

// A kernel whose taps are sockets that keep packets apart: each descriptor of /dev/net/tun has its
// other end in `hosts`. It is as strict as Linux 6.12 where it matters to who uses it.
class FakeTun final : public LinuxKernel {
 public:
  FakeTun() = default;
  FakeTun(const FakeTun&) = delete;
  FakeTun& operator=(const FakeTun&) = delete;
  FakeTun(FakeTun&&) = delete;
  FakeTun& operator=(FakeTun&&) = delete;
  ~FakeTun() override {
    for (const int fd : hosts) ::close(fd);
  }

  int Open(const char* path, int flags) override {
    if (path != std::string_view("/dev/net/tun")) return LinuxKernel::Open(path, flags);
    if (open_error != 0) return Fail(open_error);
    return MakeQueue();
  }
  int Ioctl(int fd, unsigned long request, void* argument) override {
    switch (request) {
      case TUNSETIFF:
        return SetInterface(*static_cast<ifreq*>(argument));
      case TUNGETIFF:
        if (is_no_tap) return Fail(EBADFD);
        static_cast<ifreq*>(argument)->ifr_flags = static_cast<short>(interface_flags);
        return 0;
      case TUNSETVNETHDRSZ:
        header_bytes.push_back(*static_cast<int*>(argument));
        return 0;
      case TUNSETOFFLOAD: {
        const auto offload = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(argument));
        if (!has_uso && (offload & 0x60) != 0) return Fail(EINVAL);
        offloads = offload;
        return 0;
      }
      case TUNSETQUEUE:
        if (queue_error != 0) return Fail(queue_error);
        attached += static_cast<ifreq*>(argument)->ifr_flags == IFF_ATTACH_QUEUE ? 1 : -1;
        return 0;
      default:
        return LinuxKernel::Ioctl(fd, request, argument);
    }
  }

  // A descriptor as somebody passes it.
  int MakeQueue() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return -1;
    hosts.push_back(ends[1]);
    ++attached;
    return ends[0];
  }
  // A packet from the host, its header all zeros but for the first byte.
  void Send(const std::string& data, std::size_t queue = 0, char first = 1) {
    std::string packet(12, '\0');
    packet[0] = first;
    packet += data;
    if (::send(hosts[queue], packet.data(), packet.size(), 0) < 0) ++send_failures;
  }
  // The next packet of the guest's, header and all; "" if there is none.
  std::string Receive(std::size_t queue = 0) {
    std::string packet(1U << 17, '\0');
    const ssize_t length = ::recv(hosts[queue], packet.data(), packet.size(), MSG_DONTWAIT);
    packet.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
    return packet;
  }

  bool has_uso = true;
  int open_error = 0;
  std::vector<int> interface_errors;  // of TUNSETIFF, one after the other; then none
  int queue_error = 0;
  bool is_no_tap = false;
  int interface_flags = 0;
  std::vector<int> hosts;

  std::string name;
  std::vector<int> header_bytes;
  unsigned offloads = 0;
  int attached = 0;
  unsigned send_failures = 0;

 private:
  static int Fail(int error) {
    errno = error;
    return -1;
  }
  int SetInterface(const ifreq& request) {
    interface_flags = request.ifr_flags & 0xffff;
    name = std::string(request.ifr_name, ::strnlen(request.ifr_name, IFNAMSIZ));
    if (interface_errors.empty()) return 0;
    const int error = interface_errors.front();
    interface_errors.erase(interface_errors.begin());
    return error == 0 ? 0 : Fail(error);
  }
};

}  // namespace microvm::fakes
