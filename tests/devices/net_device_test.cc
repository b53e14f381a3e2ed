// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/net_device.h"

#include <doctest/doctest.h>

#include "tests/devices/fake_tun.h"
#include "tests/devices/virtio_guest.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::FakeTun;
using fakes::kVirtqNext;
using fakes::kVirtqWrite;
using fakes::VirtioGuest;
using fakes::VirtioRam;

constexpr std::uint64_t kVersion = VirtioGuest::kVersion1;
constexpr std::uint64_t kMergeable = std::uint64_t{1} << 15;
constexpr std::uint64_t kControl = std::uint64_t{1} << 17;
constexpr std::uint64_t kMultiqueue = std::uint64_t{1} << 22;
constexpr std::uint64_t kPackets = VirtioRam::kStart + 0x40000;
constexpr std::uint64_t kSlot = 0x800;  // between buffers
constexpr std::uint64_t kCommand = VirtioRam::kStart + 0x30000;
constexpr MacAddress kMac = {0x52, 0x54, 0, 1, 2, 3};

std::string Text(std::size_t length) {
  std::string text(length, '\0');
  for (std::size_t at = 0; at < length; ++at) text[at] = static_cast<char>(at * 7 + at / 251);
  return text;
}

// A driver with a network, of one or two pairs of queues.
struct Net {
  explicit Net(std::uint64_t features = kVersion | kMergeable, std::uint16_t pairs = 1)
      : device(Tap(tun, {.name = "tap0", .queues = pairs}), kMac) {
    guest.Agree(features);
    guest.SetUp(0, rx.layout);
    guest.SetUp(1, tx.layout);
    guest.SetUp(pairs > 1 && (features & kMultiqueue) != 0 ? 4 : 2, control.layout);
    guest.Go();
    guest.transport.OnNotified();
  }

  // A buffer in the slot of its descriptor.
  void Offer(std::uint16_t index, std::uint32_t length) {
    rx.Describe(index, {kPackets + kSlot * index, length, kVirtqWrite, 0});
    rx.MakeAvailable(index);
  }
  void OfferMany(std::uint16_t count, std::uint32_t length) {
    for (std::uint16_t index = 0; index < count; ++index) Offer(index, length);
    do {
      guest.transport.OnNotified();
    } while (VirtioGuest::Take(guest.notification) > 0);
  }
  void Arrive() { guest.transport.OnInput(0); }
  [[nodiscard]] bool Awaits() const { return (guest.transport.AwaitedInputs() & 1) != 0; }

  // The status of a command on the control queue.
  int Do(const std::string& command) {
    guest.memory.WriteText(kCommand, command);
    guest.memory.Write(kCommand + 64, std::uint8_t{0xff});
    control.Describe(0, {kCommand, static_cast<std::uint32_t>(command.size()), kVirtqNext, 1});
    control.Describe(1, {kCommand + 64, 1, kVirtqWrite, 0});
    control.MakeAvailable(0);
    guest.transport.OnNotified();
    return guest.memory.Read<std::uint8_t>(kCommand + 64);
  }
  std::string Bytes(std::uint16_t index, std::size_t length) {
    return guest.memory.ReadText(kPackets + kSlot * index, length);
  }
  // The number of buffers that the header in a buffer tells.
  int BufferCount(std::uint16_t index) {
    return guest.memory.Read<std::uint16_t>(kPackets + kSlot * index + 10);
  }

  FakeTun tun;
  NetDevice device;
  VirtioGuest guest{device};
  DriverQueue rx{guest.memory, VirtioRam::kStart, 128};
  DriverQueue tx{guest.memory, VirtioRam::kStart + 0x4000};
  DriverQueue control{guest.memory, VirtioRam::kStart + 0x8000};
};

TEST_CASE("a network device tells its address, its pairs and what its tap can do") {
  Net net;
  std::array<std::byte, 10> config{};
  for (std::size_t at = 0; at < config.size(); ++at) {
    CHECK(net.guest.transport.Read(0x100 + at, std::span(config).subspan(at, 1)) ==
          MmioResult::kOk);
  }
  CHECK(std::memcmp(config.data(), kMac.data(), 6) == 0);
  CHECK(config[8] == std::byte{1});
  constexpr std::uint64_t kUso = std::uint64_t{7} << 54;
  constexpr std::uint64_t kAlways = 0x7 | 1U << 5 | 0x7U << 7 | 0x7U << 11 | kMergeable | kControl;
  const std::uint64_t own = ~(kVersion | VirtioGuest::kIndirect | VirtioGuest::kEventIndex);
  CHECK((net.guest.Offered() & own) == (kAlways | kUso));
  CHECK((Net(kVersion, 2).guest.Offered() & own) == (kAlways | kUso | kMultiqueue));
  FakeTun old;
  old.has_uso = false;
  NetDevice device(Tap(old, {.name = "tap0"}), kMac);
  CHECK(device.profile().features == kAlways);
}

TEST_CASE("a packet is sent as it is, however it lies in memory") {
  Net net;
  const std::string packet = std::string(12, '\0') + Text(1514);
  net.guest.memory.WriteText(kPackets, packet);
  net.tx.Describe(0, {kPackets, 5, kVirtqNext, 1});
  net.tx.Describe(1, {kPackets + 5, 100, kVirtqNext, 2});
  net.tx.Describe(2, {kPackets + 105, 1421, 0, 0});
  net.tx.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK(net.tun.Receive() == packet);
  CHECK(net.tun.Receive() == "");
  CHECK(net.tx.UsedIndex() == 1);
  CHECK(net.tx.UsedEntry(0).length == 0);
  CHECK(net.device.traffic().bytes_written == 1514);
  CHECK(net.device.traffic().errors == 0);
}

TEST_CASE("what the tap does not take is lost, and counted") {
  Net net;
  net.tx.Describe(0, {kPackets, 5, 0, 0});  // not even a header
  net.tx.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK(net.tx.UsedIndex() == 1);
  CHECK(net.device.traffic().errors == 1);
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) == 0);
}

TEST_CASE("a packet that arrives is in one buffer, and the driver is told") {
  for (const std::uint64_t features : {kVersion, kVersion | kMergeable}) {
    Net net(features);
    CHECK_FALSE(net.Awaits());
    net.OfferMany(2, 1526);
    CHECK(net.Awaits());
    VirtioGuest::Take(net.guest.interrupt);
    net.tun.Send(Text(60));
    net.Arrive();
    REQUIRE(net.rx.UsedIndex() == 1);
    CHECK(net.rx.UsedEntry(0).id == 0);
    CHECK(net.rx.UsedEntry(0).length == 72);
    CHECK(net.Bytes(0, 1) == "\1");
    CHECK(net.BufferCount(0) == 1);
    CHECK(net.Bytes(0, 72).substr(12) == Text(60));
    CHECK(VirtioGuest::Take(net.guest.interrupt) == 1);
    CHECK(net.device.traffic().bytes_read == 60);
    CHECK(net.Awaits());
  }
}

TEST_CASE("a packet fills as many buffers as it needs, and all are given back at once") {
  Net net;
  net.OfferMany(4, 1000);
  net.tun.Send(Text(2500));
  net.Arrive();
  REQUIRE(net.rx.UsedIndex() == 3);
  for (std::uint16_t index = 0; index < 3; ++index) CHECK(net.rx.UsedEntry(index).id == index);
  CHECK(net.rx.UsedEntry(1).length == 1000);
  CHECK(net.rx.UsedEntry(2).length == 512);
  CHECK(net.BufferCount(0) == 3);
  CHECK((net.Bytes(0, 1000) + net.Bytes(1, 1000) + net.Bytes(2, 512)).substr(12) == Text(2500));
}

TEST_CASE("a packet larger than those before is whole, and one that follows it") {
  Net net;
  net.OfferMany(100, 1526);
  for (const std::size_t length : {std::size_t{60}, std::size_t{65550}, std::size_t{65550}}) {
    const std::uint16_t before = net.rx.UsedIndex();
    net.tun.Send(Text(length));
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
    CHECK(packet.substr(std::min<std::size_t>(packet.size(), 12)) == Text(length));
    CHECK(net.BufferCount(static_cast<std::uint16_t>(net.rx.UsedEntry(before).id)) ==
          net.rx.UsedIndex() - before);
  }
}

TEST_CASE("a packet for which there are too few buffers waits for them") {
  Net net;
  net.OfferMany(2, 1000);
  net.tun.Send(Text(4000));
  net.tun.Send(Text(10));
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
  CHECK(packet.substr(12) == Text(4000));
  CHECK(net.rx.UsedEntry(5).length == 22);
  CHECK(net.Awaits());
}

TEST_CASE("a packet that does not fit into its one buffer is lost, and the buffer is not") {
  Net net(kVersion);
  net.OfferMany(2, 200);
  net.tun.Send(Text(300));
  net.tun.Send(Text(100));
  net.Arrive();
  net.Arrive();
  REQUIRE(net.rx.UsedIndex() == 1);
  CHECK(net.rx.UsedEntry(0).id == 0);
  CHECK(net.rx.UsedEntry(0).length == 112);
  CHECK(net.Bytes(0, 112).substr(12) == Text(100));
  CHECK(net.device.traffic().errors == 1);
}

TEST_CASE("a header may be in pieces") {
  Net net;
  for (std::uint16_t index = 0; index < 14; ++index) {
    const bool last = index == 13;
    net.rx.Describe(index, {kPackets + index, last ? 1000U : 1U,
                            static_cast<std::uint16_t>(kVirtqWrite | (last ? 0 : kVirtqNext)),
                            static_cast<std::uint16_t>(index + 1)});
  }
  net.rx.MakeAvailable(0);
  net.guest.transport.OnNotified();
  net.tun.Send(Text(500));
  net.Arrive();
  REQUIRE(net.rx.UsedIndex() == 1);
  CHECK(net.BufferCount(0) == 1);
  CHECK(net.Bytes(0, 512).substr(12) == Text(500));
}

TEST_CASE("a buffer too small for a header breaks the rules") {
  Net net;
  net.OfferMany(1, 11);
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) != 0);
  CHECK_FALSE(net.Awaits());
}

TEST_CASE("without buffers the tap is left alone") {
  Net net;
  CHECK_FALSE(net.Awaits());
  net.tun.Send(Text(60));
  net.Arrive();
  CHECK(net.rx.UsedIndex() == 0);
  net.OfferMany(1, 1526);
  CHECK(net.rx.UsedIndex() == 1);
  CHECK_FALSE(net.Awaits());
}

TEST_CASE(
    "a flood is taken in shares, in its order, with buffers that stay in the queue until then") {
  Net net;
  net.OfferMany(128, 100);
  constexpr unsigned kFlood = 120;
  for (unsigned number = 0; number < kFlood; ++number) {
    net.tun.Send(Text(20), 0, static_cast<char>(number));
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
  for (const bool all : {false, true}) {
    Net net;
    net.OfferMany(2, 1000);
    net.tun.Send(Text(3000));
    net.Arrive();  // half of it is read
    net.guest.Write(0x30, 0);
    net.guest.Write(all ? 0x70 : 0x44, 0);
    CHECK_FALSE(net.Awaits());
    net.guest.memory.WriteText(kPackets, std::string(2 * kSlot, 'G'));
    net.tun.Send(Text(60));
    net.Arrive();
    CHECK(net.Bytes(0, 2 * kSlot) == std::string(2 * kSlot, 'G'));
  }
}

TEST_CASE("a driver that starts gets no packets from before") {
  Net net;
  net.OfferMany(1, 1526);
  net.tun.Send("old");
  net.guest.Agree(kVersion);
  DriverQueue again{net.guest.memory, VirtioRam::kStart + 0xc000};
  net.guest.SetUp(0, again.layout);
  net.guest.Go();
  again.Describe(0, {kPackets, 1526, kVirtqWrite, 0});
  again.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK(again.UsedIndex() == 0);
  net.tun.Send("new");
  net.Arrive();
  CHECK(again.UsedIndex() == 1);
  CHECK(net.Bytes(0, 15).substr(12) == "new");
}

TEST_CASE("a tap that is gone is not waited for") {
  Net net;
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

TEST_CASE("the tap's packets are of the kinds that the driver takes") {
  const auto offloads = [](std::uint64_t features) {
    return Net(kVersion | kControl | features).tun.offloads;
  };
  CHECK(offloads(0) == 0);
  CHECK(offloads(1U << 1) == TUN_F_CSUM);
  CHECK(offloads(1U << 1 | 1U << 7) == (TUN_F_CSUM | TUN_F_TSO4));
  CHECK(offloads(1U << 1 | 7U << 7) == (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN));
  CHECK(offloads(1U << 1 | std::uint64_t{1} << 54) == TUN_F_CSUM);
  CHECK(offloads(1U << 1 | std::uint64_t{3} << 54) == (TUN_F_CSUM | 0x60));
  CHECK(offloads(7U << 7) == 0);  // without checksums there are no segments
}

TEST_CASE("the driver may change what it takes, within what was agreed on") {
  Net net(kVersion | kControl | 1U << 1 | 1U << 2 | 1U << 7);
  const auto set = [&](std::uint64_t features) {
    std::string command("\5\0", 2);
    command.append(reinterpret_cast<const char*>(&features), sizeof(features));
    return net.Do(command);
  };
  CHECK(set(1U << 1) == 0);
  CHECK(net.tun.offloads == TUN_F_CSUM);
  CHECK(set(1U << 1 | 1U << 8) == 1);
  CHECK(set(1U << 1 | 1U << 7) == 0);
  CHECK(net.tun.offloads == (TUN_F_CSUM | TUN_F_TSO4));
  CHECK(net.Do(std::string("\5\0\0", 3)) == 1);
}

TEST_CASE("commands that are none are refused") {
  Net net(kVersion | kControl);
  CHECK(net.Do("") == 1);
  CHECK(net.Do("\4") == 1);
  CHECK(net.Do(std::string("\0\0\1", 3)) == 1);
  CHECK(net.Do(std::string("\4\0\1\0", 4)) == 1);  // more pairs were not agreed on
  net.control.Describe(0, {kCommand, 2, 0, 0});    // no room for the status
  net.control.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) != 0);
}

TEST_CASE("as many pairs are used as the driver asks for") {
  Net net(kVersion | kMergeable | kControl | kMultiqueue, 2);
  CHECK(net.tun.attached == 1);
  DriverQueue second{net.guest.memory, VirtioRam::kStart + 0xc000};
  net.guest.SetUp(2, second.layout);
  second.Describe(0, {kPackets, 1526, kVirtqWrite, 0});
  second.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK(net.guest.transport.AwaitedInputs() == 0);
  CHECK(net.Do(std::string("\4\0\0\0", 4)) == 1);
  CHECK(net.Do(std::string("\4\0\3\0", 4)) == 1);
  CHECK(net.Do(std::string("\4\0\2\0", 4)) == 0);
  CHECK(net.tun.attached == 2);
  CHECK(net.guest.transport.AwaitedInputs() == 2);
  net.tun.Send(Text(60), 1);
  net.guest.transport.OnInput(1);
  CHECK(second.UsedIndex() == 1);
  net.tun.queue_error = EPERM;
  CHECK(net.Do(std::string("\4\0\1\0", 4)) == 1);
}

TEST_CASE("a driver that does not agree on pairs has its control queue behind the first") {
  Net net(kVersion | kMergeable | kControl, 2);
  CHECK(net.Do(std::string("\7\0", 2)) == 1);
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) == 0);
  DriverQueue last{net.guest.memory, VirtioRam::kStart + 0xc000};
  net.guest.SetUp(4, last.layout);
  last.Describe(0, {kPackets, 1526, kVirtqWrite, 0});
  last.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) != 0);
}

}  // namespace
}  // namespace microvm
