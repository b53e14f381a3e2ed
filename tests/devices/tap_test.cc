// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/tap.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include "tests/devices/fake_tun.h"
#include "tests/fakes/exceptions.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::FakeTun;

constexpr int kPlain = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

std::string RefusalOf(FakeTun& tun, std::uint16_t queues = 1) {
  return ChainOf([&] { Tap(tun, {.name = "tap0", .queues = queues}); });
}

TEST_CASE("a tap is opened with virtio's header, and does not block") {
  FakeTun tun;
  const Tap tap(tun, {.name = "tap0"});
  CHECK(tun.name == "tap0");
  CHECK(tun.interface_flags == kPlain);
  CHECK(tun.header_bytes == std::vector<int>{12});
  CHECK(tun.offloads == 0);
  CHECK(tap.queues() == 1);
  CHECK(tap.segments_udp());
  CHECK((::fcntl(tap.queue(0).get(), F_GETFL) & O_NONBLOCK) != 0);
}

TEST_CASE("each queue of a tap has a descriptor, and is used when it is asked for") {
  FakeTun tun;
  Tap tap(tun, {.name = "tap0", .queues = 3});
  CHECK(tun.interface_flags == (kPlain | IFF_MULTI_QUEUE));
  CHECK(tun.header_bytes == std::vector<int>{12, 12, 12});
  CHECK(tap.queues() == 3);
  CHECK(tun.attached == 3);
  CHECK(tap.UseQueues(1));
  CHECK(tun.attached == 1);
  CHECK(tap.UseQueues(2));
  CHECK(tap.UseQueues(2));
  CHECK(tun.attached == 2);
  tun.queue_error = EPERM;
  CHECK_FALSE(tap.UseQueues(3));
}

TEST_CASE("one queue of a tap with several is enough") {
  FakeTun tun;
  tun.interface_errors = {EINVAL};
  const Tap tap(tun, {.name = "tap0"});
  CHECK(tun.interface_flags == (kPlain | IFF_MULTI_QUEUE));
}

TEST_CASE("a kernel that does not segment UDP is seen") {
  FakeTun tun;
  tun.has_uso = false;
  CHECK_FALSE(Tap(tun, {.name = "tap0"}).segments_udp());
}

TEST_CASE("what cannot be opened is told with the remedy") {
  FakeTun tun;
  tun.open_error = ENOENT;
  CHECK(Contains(RefusalOf(tun), "tap tap0\n  the host has no taps\n"));
  CHECK(Contains(RefusalOf(tun), "modprobe tun"));
  tun.open_error = EACCES;
  CHECK(Contains(RefusalOf(tun), "/dev/net/tun may not be opened by this user"));
  tun.open_error = 0;
  tun.interface_errors = {EBUSY, EPERM, EINVAL, EINVAL, EINVAL};
  CHECK(Contains(RefusalOf(tun), "another process, or another of the machine's devices, has it"));
  CHECK(Contains(RefusalOf(tun, 2), "ip tuntap add tap0 mode tap user $USER multi_queue"));
  CHECK(Contains(RefusalOf(tun), "it cannot be opened as a tap"));
  CHECK(Contains(RefusalOf(tun, 2), "it has one queue only, or is no tap"));
}

TEST_CASE("a descriptor that was passed must be of a tap with virtio's header") {
  const auto refusal = [](int flags, bool is_no_tap = false) {
    FakeTun tun;
    tun.interface_flags = flags;
    tun.is_no_tap = is_no_tap;
    const int fd = tun.MakeQueue();
    return ChainOf([&] { Tap(tun, {.descriptors = {fd}}); });
  };
  CHECK(refusal(kPlain) == "");
  CHECK(Contains(refusal(kPlain, true), "it is no tap\n"));
  CHECK(Contains(refusal(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR), "it is a tun, not a tap"));
  CHECK(Contains(refusal(IFF_TAP | IFF_VNET_HDR), "it lacks IFF_NO_PI"));
  CHECK(Contains(refusal(IFF_TAP | IFF_NO_PI), "it lacks IFF_VNET_HDR"));
  FakeTun tun;
  tun.interface_flags = kPlain;
  const std::vector<int> two = {tun.MakeQueue(), tun.MakeQueue()};
  CHECK(Contains(ChainOf([&] { Tap(tun, {.descriptors = two, .queues = 2}); }),
                 "it is of a tap with one queue only"));
}

TEST_CASE("packets that wait are forgotten") {
  FakeTun tun;
  Tap tap(tun, {.name = "tap0"});
  for (int packet = 0; packet < 3; ++packet) tun.Send("old");
  tap.Discard();
  std::array<char, 64> data{};
  CHECK(::read(tap.queue(0).get(), data.data(), data.size()) < 0);
}

}  // namespace
}  // namespace microvm
