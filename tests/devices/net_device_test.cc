// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_device.h"

#include <doctest/doctest.h>

#include <utility>

#include "tests/devices/net_guest.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::FakeTun;
using fakes::kNetControl;
using fakes::kNetMac;
using fakes::kNetMergeable;
using fakes::kNetMultiqueue;
using fakes::kNetVersion;
using fakes::kVirtqNext;
using fakes::kVirtqWrite;
using fakes::NetGuest;
using fakes::NetText;
using fakes::VirtioGuest;
using fakes::VirtioRam;

TEST_CASE("a network device tells its address, its pairs and what its tap can do") {
  NetGuest net;
  std::array<std::byte, 10> config{};
  for (std::size_t at = 0; at < config.size(); ++at) {
    CHECK(net.guest.transport.Read(0x100 + at, std::span(config).subspan(at, 1)) ==
          MmioResult::kOk);
  }
  CHECK(std::memcmp(config.data(), kNetMac.data(), 6) == 0);
  CHECK(config[8] == std::byte{1});
  constexpr std::uint64_t kUso = std::uint64_t{7} << 54;
  constexpr std::uint64_t kAlways =
      0x7 | 1U << 5 | 0x7U << 7 | 0x7U << 11 | kNetMergeable | kNetControl;
  const std::uint64_t own = ~(kNetVersion | VirtioGuest::kIndirect | VirtioGuest::kEventIndex);
  CHECK((net.guest.Offered() & own) == (kAlways | kUso));
  CHECK((NetGuest(kNetVersion, 2).guest.Offered() & own) == (kAlways | kUso | kNetMultiqueue));
  FakeTun old;
  old.has_uso = false;
  NetDevice device(Tap(old, {.name = "tap0"}), kNetMac);
  CHECK(device.profile().features == kAlways);
}

TEST_CASE("a packet is sent as it is, however it lies in memory") {
  NetGuest net;
  const std::string packet = std::string(12, '\0') + NetText(1514);
  net.guest.memory.WriteText(NetGuest::kPackets, packet);
  net.tx.Describe(0, {NetGuest::kPackets, 5, kVirtqNext, 1});
  net.tx.Describe(1, {NetGuest::kPackets + 5, 100, kVirtqNext, 2});
  net.tx.Describe(2, {NetGuest::kPackets + 105, 1421, 0, 0});
  net.tx.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK(net.tun.Receive() == packet);
  CHECK(net.tun.Receive() == "");
  CHECK(net.tx.UsedIndex() == 1);
  CHECK(net.tx.UsedEntry(0).length == 0);
  CHECK(net.device.traffic().bytes_written == 1514);
  CHECK(net.device.traffic().errors == 0);
}

TEST_CASE("a guest that sends and sends need not notify; one that gets answers does") {
  NetGuest net(kNetVersion);
  net.tx.Describe(0, {NetGuest::kPackets, 60, 0, 0});
  const auto send = [&] {
    net.tx.MakeAvailable(0);
    net.guest.transport.OnNotified();
    CHECK(net.tun.Receive().size() == 60);
    return net.tx.UsedFlags();
  };
  for (unsigned sent = 0; sent < 4; ++sent) CHECK(send() == 0);
  CHECK_FALSE(net.guest.transport.LooksAgain());
  CHECK(send() == 1);
  CHECK(net.guest.transport.LooksAgain());
  // As long as there is something.
  net.tx.MakeAvailable(0);
  net.guest.transport.LookAgain();
  CHECK(net.tun.Receive().size() == 60);
  CHECK(net.guest.transport.LooksAgain());
  CHECK(net.guest.transport.counts().notifications == 6);
  net.guest.transport.LookAgain();
  CHECK_FALSE(net.guest.transport.LooksAgain());
  CHECK(net.tx.UsedFlags() == 0);
  // An answer to each.
  net.OfferMany(16, 1526);
  for (unsigned sent = 0; sent < 10; ++sent) {
    CHECK(send() == 0);
    net.tun.Send(NetText(60));
    net.Arrive();
  }
  CHECK(net.rx.UsedIndex() == 10);
  CHECK_FALSE(net.guest.transport.LooksAgain());
}

TEST_CASE("a queue that is taken back, or reset, is not looked at again") {
  for (const bool reset : {false, true}) {
    NetGuest net(kNetVersion);
    net.tx.Describe(0, {NetGuest::kPackets, 60, 0, 0});
    for (unsigned sent = 0; sent < 5; ++sent) {
      net.tx.MakeAvailable(0);
      net.guest.transport.OnNotified();
    }
    CHECK(net.guest.transport.LooksAgain());
    net.guest.Write(0x30, 1);
    net.guest.Write(reset ? 0x70 : 0x44, 0);
    CHECK_FALSE(net.guest.transport.LooksAgain());
    net.tx.MakeAvailable(0);
    net.guest.transport.LookAgain();
    CHECK(net.device.traffic().bytes_written == std::uint64_t{5} * 48);
  }
}

TEST_CASE("what the tap does not take is lost, and counted") {
  NetGuest net;
  net.tx.Describe(0, {NetGuest::kPackets, 5, 0, 0});  // not even a header
  net.tx.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK(net.tx.UsedIndex() == 1);
  CHECK(net.device.traffic().errors == 1);
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) == 0);
}

TEST_CASE("a packet that arrives is in one buffer, and the driver is told") {
  for (const std::uint64_t features : {kNetVersion, kNetVersion | kNetMergeable}) {
    NetGuest net(features);
    CHECK_FALSE(net.Awaits());
    net.OfferMany(2, 1526);
    CHECK(net.Awaits());
    VirtioGuest::Take(net.guest.interrupt);
    net.tun.Send(NetText(60));
    net.Arrive();
    REQUIRE(net.rx.UsedIndex() == 1);
    CHECK(net.rx.UsedEntry(0).id == 0);
    CHECK(net.rx.UsedEntry(0).length == 72);
    CHECK(net.Bytes(0, 1) == "\1");
    CHECK(net.BufferCount(0) == 1);
    CHECK(net.Bytes(0, 72).substr(12) == NetText(60));
    CHECK(VirtioGuest::Take(net.guest.interrupt) == 1);
    CHECK(net.device.traffic().bytes_read == 60);
    CHECK(net.Awaits());
  }
}

TEST_CASE("a packet fills as many buffers as it needs, and all are given back at once") {
  NetGuest net;
  net.OfferMany(4, 1000);
  net.tun.Send(NetText(2500));
  net.Arrive();
  REQUIRE(net.rx.UsedIndex() == 3);
  for (std::uint16_t index = 0; index < 3; ++index) CHECK(net.rx.UsedEntry(index).id == index);
  CHECK(net.rx.UsedEntry(1).length == 1000);
  CHECK(net.rx.UsedEntry(2).length == 512);
  CHECK(net.BufferCount(0) == 3);
  CHECK((net.Bytes(0, 1000) + net.Bytes(1, 1000) + net.Bytes(2, 512)).substr(12) == NetText(2500));
}

TEST_CASE("a packet larger than those before is whole, and one that follows it") {
  NetGuest net;
  net.OfferMany(100, 1526);
  for (const std::size_t length : {std::size_t{60}, std::size_t{65550}, std::size_t{65550}}) {
    const std::uint16_t before = net.rx.UsedIndex();
    net.tun.Send(NetText(length));
    net.Arrive();
    std::string packet;
    std::uint32_t left = static_cast<std::uint32_t>(length) + 12;
    for (std::uint16_t entry = before; entry != net.rx.UsedIndex(); ++entry) {
      const auto used = net.rx.UsedEntry(entry);
      CHECK(used.length == std::min(left, 1526U));
      left -= used.length;
      packet += net.Bytes(static_cast<std::uint16_t>(used.id), used.length);
    }
    CHECK(left == 0);
    CHECK(packet.substr(std::min<std::size_t>(packet.size(), 12)) == NetText(length));
    CHECK(net.BufferCount(static_cast<std::uint16_t>(net.rx.UsedEntry(before).id)) ==
          net.rx.UsedIndex() - before);
  }
}

TEST_CASE("a packet for which there are too few buffers waits for them") {
  NetGuest net;
  net.OfferMany(2, 1000);
  net.tun.Send(NetText(4000));
  net.tun.Send(NetText(10));
  net.Arrive();
  CHECK(net.rx.UsedIndex() == 0);
  CHECK_FALSE(net.Awaits());  // the tap can be read, which is of no use
  net.Offer(2, 1000);
  net.guest.transport.OnNotified();
  CHECK(net.rx.UsedIndex() == 0);
  for (std::uint16_t index = 3; index < 7; ++index) net.Offer(index, 1000);
  net.guest.transport.OnNotified();
  REQUIRE(net.rx.UsedIndex() == 6);
  CHECK(net.BufferCount(0) == 5);
  std::string packet;
  for (std::uint16_t index = 0; index < 5; ++index) {
    packet += net.Bytes(index, net.rx.UsedEntry(index).length);
  }
  CHECK(packet.substr(12) == NetText(4000));
  CHECK(net.rx.UsedEntry(5).length == 22);
  CHECK(net.Awaits());
}

TEST_CASE("a packet that needs more buffers than are held gets those that stayed in the queue") {
  NetGuest net;
  net.OfferMany(128, 100);
  net.tun.Send(NetText(8000));
  net.Arrive();
  CHECK(net.rx.UsedIndex() == 81);
  CHECK(net.BufferCount(0) == 81);
  CHECK(net.Bytes(80, 12) == NetText(8000).substr(7988));
}

TEST_CASE("a packet that does not fit into its one buffer is lost, and the buffer is not") {
  NetGuest net(kNetVersion);
  net.OfferMany(2, 200);
  net.tun.Send(NetText(300));
  net.tun.Send(NetText(100));
  net.Arrive();
  net.Arrive();
  REQUIRE(net.rx.UsedIndex() == 1);
  CHECK(net.rx.UsedEntry(0).id == 0);
  CHECK(net.rx.UsedEntry(0).length == 112);
  CHECK(net.Bytes(0, 112).substr(12) == NetText(100));
  CHECK(net.device.traffic().errors == 1);
}

TEST_CASE("a header may be in pieces") {
  NetGuest net;
  for (std::uint16_t index = 0; index < 14; ++index) {
    const bool last = index == 13;
    net.rx.Describe(index, {NetGuest::kPackets + index, last ? 1000U : 1U,
                            static_cast<std::uint16_t>(kVirtqWrite | (last ? 0 : kVirtqNext)),
                            static_cast<std::uint16_t>(index + 1)});
  }
  net.rx.MakeAvailable(0);
  net.guest.transport.OnNotified();
  net.tun.Send(NetText(500));
  net.Arrive();
  REQUIRE(net.rx.UsedIndex() == 1);
  CHECK(net.BufferCount(0) == 1);
  CHECK(net.Bytes(0, 512).substr(12) == NetText(500));
}

TEST_CASE("a buffer too small for a header breaks the rules") {
  NetGuest net;
  net.OfferMany(1, 11);
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) != 0);
  CHECK_FALSE(net.Awaits());
}

TEST_CASE("without buffers the tap is left alone") {
  NetGuest net;
  CHECK_FALSE(net.Awaits());
  net.tun.Send(NetText(60));
  net.Arrive();
  CHECK(net.rx.UsedIndex() == 0);
  net.OfferMany(1, 1526);
  CHECK(net.rx.UsedIndex() == 1);
  CHECK_FALSE(net.Awaits());
}

TEST_CASE(
    "a flood is taken in shares, in its order, with buffers that stay in the queue until then") {
  NetGuest net;
  net.OfferMany(128, 100);
  constexpr unsigned kFlood = 120;
  for (unsigned number = 0; number < kFlood; ++number) {
    net.tun.Send(NetText(20), 0, static_cast<char>(number));
  }
  CHECK(net.tun.send_failures == 0);
  net.Arrive();
  CHECK(net.rx.UsedIndex() == 64);
  // There may be more, which has its turn.
  CHECK(VirtioGuest::Take(net.guest.notification) == 1);
  net.guest.transport.OnNotified();
  REQUIRE(net.rx.UsedIndex() == kFlood);
  for (std::uint16_t entry = 0; entry < kFlood; ++entry) {
    CHECK(net.rx.UsedEntry(entry).id == entry);
    CHECK(net.Bytes(entry, 1)[0] == static_cast<char>(entry));
  }
}

TEST_CASE("a driver that takes its queue back has its memory back") {
  for (const auto& [all, pending] : {std::pair{false, false}, {true, false}, {true, true}}) {
    NetGuest net;
    net.OfferMany(2, 1000);
    if (pending) net.tun.Send(NetText(3000));
    net.Arrive();  // as far as there are buffers for it
    net.guest.Write(0x30, 0);
    net.guest.Write(all ? 0x70 : 0x44, 0);
    CHECK_FALSE(net.Awaits());
    net.guest.memory.WriteText(NetGuest::kPackets, std::string(2 * NetGuest::kSlot, 'G'));
    net.tun.Send(NetText(60));
    net.Arrive();
    CHECK(net.Bytes(0, 2 * NetGuest::kSlot) == std::string(2 * NetGuest::kSlot, 'G'));
  }
}

TEST_CASE("a driver that starts gets no packets from before") {
  NetGuest net;
  net.OfferMany(1, 1526);
  net.tun.Send("old");
  net.guest.Agree(kNetVersion);
  DriverQueue again{net.guest.memory, VirtioRam::kStart + 0xc000};
  net.guest.SetUp(0, again.layout);
  net.guest.Go();
  again.Describe(0, {NetGuest::kPackets, 1526, kVirtqWrite, 0});
  again.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK(again.UsedIndex() == 0);
  net.tun.Send("new");
  net.Arrive();
  CHECK(again.UsedIndex() == 1);
  CHECK(net.Bytes(0, 15).substr(12) == "new");
}

TEST_CASE("a tap that is gone is not waited for") {
  NetGuest net;
  net.OfferMany(2, 1526);
  ::close(net.tun.hosts[0]);
  net.tun.hosts.clear();
  CHECK(net.Awaits());
  net.Arrive();
  CHECK_FALSE(net.Awaits());
  net.guest.transport.OnNotified();
  CHECK_FALSE(net.Awaits());
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) == 0);
}

}  // namespace
}  // namespace microvm
