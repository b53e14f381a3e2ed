// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "vmm/host/error.h"

// Linux 6.2; headers may be older.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

namespace microvm {
namespace {

// More than a tap's queue is long, unless it was made longer (txqueuelen).
constexpr unsigned kMostWaiting = 1024;

constexpr const char* kTunDevice = "/dev/net/tun";

Fd OpenTun(HostKernel& kernel) {
  return OpenDeviceFile(
      kernel, kTunDevice,
      Error(std::string(kTunDevice) + " may not be opened by this user",
            "chmod 666 /dev/net/tun (a tap still needs its owner), or pass 'tap_fd'"),
      Error("the host has no taps", "modprobe tun, or a kernel with CONFIG_TUN=y"));
}

// TUNSETIFF's errors, as Linux 6.12 has them (drivers/net/tun.c).
Error Refusal(int error, const std::string& name, std::uint16_t queues) {
  const std::string many = queues > 1 ? " multi_queue" : "";
  switch (error) {
    case EBUSY:
      return Error("another process, or another of the machine's devices, has it",
                   "stop that one, or give each machine a tap of its own");
    case EPERM:
      return Error("it is not this user's, who may not make one either",
                   "as root: ip tuntap add " + name + " mode tap user $USER" + many);
    case EINVAL:
      if (queues == 1) break;
      return Error("it has one queue only, or is no tap",
                   "ip tuntap del " + name + " mode tap; ip tuntap add " + name +
                       " mode tap user $USER multi_queue; or queues = 1");
    default:
      break;
  }
  return Error("it cannot be opened as a tap",
               "give 'tap' the name of a tap: ip tuntap add " + name + " mode tap user $USER");
}

int AttachTo(const Fd& fd, const std::string& name, int flags) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), sizeof(request.ifr_name) - 1));
  request.ifr_flags = static_cast<short>(flags);
  return fd.kernel().Ioctl(fd.get(), TUNSETIFF, &request) == 0 ? 0 : errno;
}

// A tap that was made with several queues has them, whoever opens it.
void Attach(const Fd& fd, const TapOptions& options) {
  const int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  int error = AttachTo(fd, options.name, options.queues > 1 ? flags | IFF_MULTI_QUEUE : flags);
  if (error == EINVAL && options.queues == 1) {
    error = AttachTo(fd, options.name, flags | IFF_MULTI_QUEUE);
  }
  if (error == 0) return;
  WithContext(Refusal(error, options.name, options.queues),
              [&] { ThrowErrno(error, "TUNSETIFF"); });
}

// Of a descriptor that was passed: whoever opened it has made it what it is.
void CheckPassed(const Fd& fd, const TapOptions& options) {
  const std::string remedy =
      "pass a descriptor of /dev/net/tun after TUNSETIFF with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR";
  ifreq request{};
  if (fd.kernel().Ioctl(fd.get(), TUNGETIFF, &request) != 0) {
    WithContext(Error("it is no tap", remedy), [] { ThrowErrno("TUNGETIFF"); });
  }
  if ((request.ifr_flags & IFF_TAP) == 0) throw Error("it is a tun, not a tap", remedy);
  if ((request.ifr_flags & IFF_NO_PI) == 0) throw Error("it lacks IFF_NO_PI", remedy);
  if ((request.ifr_flags & IFF_VNET_HDR) == 0) throw Error("it lacks IFF_VNET_HDR", remedy);
  if (options.descriptors.size() > 1 && (request.ifr_flags & IFF_MULTI_QUEUE) == 0) {
    throw Error("it is of a tap with one queue only", remedy + " | IFF_MULTI_QUEUE");
  }
}

void SetNonBlocking(const Fd& fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) < 0) ThrowErrno("fcntl");
}

}  // namespace

Tap::Tap(HostKernel& kernel, const TapOptions& options) {
  if (options.descriptors.empty()) {
    WithContext(Error("tap " + options.name), [&] { OpenNamed(kernel, options); });
  } else {
    TakePassed(kernel, options);
  }
  used_ = queues_.size();
  segments_udp_ = SetOffloads(TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6);
  SetOffloads(0);
}

void Tap::OpenNamed(HostKernel& kernel, const TapOptions& options) {
  for (std::uint16_t queue = 0; queue < options.queues; ++queue) {
    Fd fd = OpenTun(kernel);
    Attach(fd, options);
    int header_bytes = kNetHeaderBytes;
    CheckedIoctl(fd, IOCTL_CODE(TUNSETVNETHDRSZ), &header_bytes);
    SetNonBlocking(fd);
    queues_.push_back(std::move(fd));
  }
}

void Tap::TakePassed(HostKernel& kernel, const TapOptions& options) {
  for (const int descriptor : options.descriptors) {
    WithContext(Error("tap_fd " + std::to_string(descriptor)), [&] {
      Fd fd(kernel, descriptor);
      CheckPassed(fd, options);
      int header_bytes = kNetHeaderBytes;
      CheckedIoctl(fd, IOCTL_CODE(TUNSETVNETHDRSZ), &header_bytes);
      SetNonBlocking(fd);
      queues_.push_back(std::move(fd));
    });
  }
}

bool Tap::SetOffloads(unsigned offloads) noexcept {
  const Fd& fd = queues_.front();
  // The argument of this ioctl is a value in a pointer's place.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  void* const argument = reinterpret_cast<void*>(std::uintptr_t{offloads});
  return fd.kernel().Ioctl(fd.get(), TUNSETOFFLOAD, argument) == 0;
}

void Tap::Discard() noexcept {
  for (const Fd& fd : queues_) {
    std::array<std::byte, kNetHeaderBytes> header{};
    for (unsigned read = 0; read < kMostWaiting; ++read) {
      if (::read(fd.get(), header.data(), header.size()) <= 0) break;
    }
  }
}

bool Tap::UseQueues(std::size_t count) noexcept {
  while (used_ != count) {
    const bool more = used_ < count;
    const Fd& fd = queues_[more ? used_ : used_ - 1];
    ifreq request{};
    request.ifr_flags = more ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
    if (fd.kernel().Ioctl(fd.get(), TUNSETQUEUE, &request) != 0) return false;
    used_ = more ? used_ + 1 : used_ - 1;
  }
  return true;
}

}  // namespace microvm
