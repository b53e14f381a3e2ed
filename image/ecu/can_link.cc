// SPDX-License-Identifier: Apache-2.0
#include "image/ecu/can_link.h"

#include <linux/can/netlink.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <system_error>

namespace ecu {
namespace {

[[noreturn]] void ThrowError(const std::string& what, int error) {
  throw std::system_error(error, std::generic_category(), what);
}

// An RTM_NEWLINK request in the making. Attributes are appended; a nested one is closed by EndNest
// with what Nest gave.
class LinkRequest {
 public:
  LinkRequest(unsigned int interface_index, unsigned int flags) {
    nlmsghdr header{};
    header.nlmsg_type = RTM_NEWLINK;
    header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    ifinfomsg info{};
    info.ifi_index = static_cast<int>(interface_index);
    info.ifi_flags = flags;
    info.ifi_change = IFF_UP;
    Append(&header, sizeof header);
    Append(&info, sizeof info);
  }

  void Attribute(unsigned short type, const void* data, std::size_t bytes) {
    const nlattr attribute{static_cast<unsigned short>(sizeof(nlattr) + bytes), type};
    Append(&attribute, sizeof attribute);
    Append(data, bytes);
  }

  std::size_t Nest(unsigned short type) {
    const std::size_t start = size_;
    Attribute(type, nullptr, 0);
    return start;
  }

  void EndNest(std::size_t start) {
    const auto bytes = static_cast<unsigned short>(size_ - start);
    std::memcpy(&buffer_[start + offsetof(nlattr, nla_len)], &bytes, sizeof bytes);
  }

  std::span<const std::byte> Finish() {
    const auto bytes = static_cast<std::uint32_t>(size_);
    std::memcpy(&buffer_[offsetof(nlmsghdr, nlmsg_len)], &bytes, sizeof bytes);
    return {buffer_.data(), size_};
  }

 private:
  // The largest request here is below 200 bytes; NLA_ALIGN keeps every part on a multiple of four.
  void Append(const void* data, std::size_t bytes) {
    if (bytes != 0) std::memcpy(&buffer_.at(size_), data, bytes);
    size_ += (bytes + NLA_ALIGNTO - 1) / NLA_ALIGNTO * NLA_ALIGNTO;
  }

  alignas(nlmsghdr) std::array<std::byte, 512> buffer_{};
  std::size_t size_ = 0;
};

// Sends one request and waits for the kernel's answer; returns its errno, 0 for success.
int Transact(std::span<const std::byte> request) {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return errno;
  std::array<std::byte, 4096> reply;
  ssize_t received = ::send(fd, request.data(), request.size(), 0);
  if (received >= 0) received = ::recv(fd, reply.data(), reply.size(), 0);
  const int failure = received < 0 ? errno : 0;
  ::close(fd);
  if (failure != 0) return failure;
  nlmsgerr error{};
  if (static_cast<std::size_t>(received) < NLMSG_HDRLEN + sizeof error) return EPROTO;
  std::memcpy(&error, &reply[NLMSG_HDRLEN], sizeof error);
  return -error.error;
}

}  // namespace

void BringUpCanLink(const std::string& interface_name, const CanTiming& timing) {
  const unsigned int index = ::if_nametoindex(interface_name.c_str());
  if (index == 0) ThrowError("CAN interface " + interface_name, errno);

  LinkRequest down(index, 0);
  if (const int error = Transact(down.Finish()); error != 0) {
    ThrowError("take " + interface_name + " down", error);
  }

  LinkRequest up(index, IFF_UP);
  const std::size_t info = up.Nest(IFLA_LINKINFO | NLA_F_NESTED);
  constexpr std::string_view kKind = "can";
  up.Attribute(IFLA_INFO_KIND, kKind.data(), kKind.size());
  const std::size_t data = up.Nest(IFLA_INFO_DATA | NLA_F_NESTED);
  // Only the rate is given: the kernel works out the segments for the controller's clock.
  can_bittiming nominal{};
  nominal.bitrate = timing.bitrate;
  can_bittiming fast{};
  fast.bitrate = timing.data_bitrate;
  const can_ctrlmode mode{CAN_CTRLMODE_FD, CAN_CTRLMODE_FD};
  up.Attribute(IFLA_CAN_BITTIMING, &nominal, sizeof nominal);
  up.Attribute(IFLA_CAN_CTRLMODE, &mode, sizeof mode);
  up.Attribute(IFLA_CAN_DATA_BITTIMING, &fast, sizeof fast);
  up.EndNest(data);
  up.EndNest(info);
  if (const int error = Transact(up.Finish()); error != 0) {
    ThrowError("set the bit rates of " + interface_name + " and bring it up", error);
  }
}

}  // namespace ecu
