// SPDX-License-Identifier: Apache-2.0
// What a driver agrees on with a network device, and the commands of its control queue.
#include <doctest/doctest.h>

#include "devices/virtio/net_device.h"
#include "tests/devices/net_guest.h"

namespace microvm {
namespace {

using fakes::DriverQueue;
using fakes::kNetControl;
using fakes::kNetMergeable;
using fakes::kNetMultiqueue;
using fakes::kNetVersion;
using fakes::kVirtqWrite;
using fakes::NetGuest;
using fakes::NetText;
using fakes::VirtioGuest;
using fakes::VirtioRam;

TEST_CASE("the tap's packets are of the kinds that the driver takes") {
  const auto offloads = [](std::uint64_t features) {
    return NetGuest(kNetVersion | kNetControl | features).tun.offloads;
  };
  CHECK(offloads(0) == 0);
  CHECK(offloads(1U << 1) == TUN_F_CSUM);
  CHECK(offloads(1U << 1 | 1U << 7) == (TUN_F_CSUM | TUN_F_TSO4));
  CHECK(offloads(1U << 1 | 7U << 7) == (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN));
  CHECK(offloads(1U << 1 | std::uint64_t{1} << 54) == TUN_F_CSUM);
  CHECK(offloads(1U << 1 | std::uint64_t{3} << 54) == (TUN_F_CSUM | 0x60));
  CHECK(offloads(7U << 7) == 0);  // without checksums there are no segments
  NetGuest net(kNetVersion | 1U << 1 | 1U << 7);
  CHECK(net.tun.offloads != 0);
  net.guest.Write(0x70, 0);
  CHECK(net.tun.offloads == 0);
}

TEST_CASE("the driver may change what it takes, within what was agreed on") {
  NetGuest net(kNetVersion | kNetControl | 1U << 1 | 1U << 2 | 1U << 7);
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
  NetGuest net(kNetVersion | kNetControl);
  CHECK(net.Do("") == 1);
  CHECK(net.Do("\4") == 1);
  CHECK(net.Do(std::string("\0\0\1", 3)) == 1);
  CHECK(net.Do(std::string("\4\0\1\0", 4)) == 1);          // more pairs were not agreed on
  net.control.Describe(0, {NetGuest::kCommand, 2, 0, 0});  // no room for the status
  net.control.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) != 0);
}

TEST_CASE("as many pairs are used as the driver asks for") {
  NetGuest net(kNetVersion | kNetMergeable | kNetControl | kNetMultiqueue, 2);
  CHECK(net.tun.attached == 1);
  DriverQueue second{net.guest.memory, VirtioRam::kStart + 0xc000};
  net.guest.SetUp(2, second.layout);
  second.Describe(0, {NetGuest::kPackets, 1526, kVirtqWrite, 0});
  second.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK(net.guest.transport.AwaitedInputs() == 0);
  CHECK(net.Do(std::string("\4\0\0\0", 4)) == 1);
  CHECK(net.Do(std::string("\4\0\3\0", 4)) == 1);
  CHECK(net.Do(std::string("\4\0\2\0", 4)) == 0);
  CHECK(net.tun.attached == 2);
  CHECK(net.guest.transport.AwaitedInputs() == 2);
  net.tun.Send(NetText(60), 1);
  net.guest.transport.OnInput(1);
  CHECK(second.UsedIndex() == 1);
  net.tun.queue_error = EPERM;
  CHECK(net.Do(std::string("\4\0\1\0", 4)) == 1);
}

TEST_CASE("a driver that does not agree on pairs has its control queue behind the first") {
  NetGuest net(kNetVersion | kNetMergeable | kNetControl, 2);
  CHECK(net.Do(std::string("\7\0", 2)) == 1);
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) == 0);
  DriverQueue last{net.guest.memory, VirtioRam::kStart + 0xc000};
  net.guest.SetUp(4, last.layout);
  last.Describe(0, {NetGuest::kPackets, 1526, kVirtqWrite, 0});
  last.MakeAvailable(0);
  net.guest.transport.OnNotified();
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) != 0);
}

}  // namespace
}  // namespace microvm
