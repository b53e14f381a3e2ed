// SPDX-License-Identifier: Apache-2.0
// A network whose packets the host's kernel carries.
#include "devices/virtio/vhost_net.h"

#include <doctest/doctest.h>
#include <sched.h>

#include <cerrno>
#include <optional>

#include "devices/virtio/net_device.h"
#include "tests/devices/fake_tun.h"
#include "tests/devices/virtio_guest.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::DriverQueue;
using fakes::FakeKernel;
using fakes::FakeTun;
using fakes::kVirtqNext;
using fakes::kVirtqWrite;
using fakes::VirtioGuest;
using fakes::VirtioRam;

constexpr std::uint64_t kMerged = std::uint64_t{1} << 15;
constexpr std::uint64_t kOfControl = std::uint64_t{1} << 17;

// A driver with a network that the kernel serves.
struct CarriedNet {
  void Start(std::uint64_t features = VirtioGuest::kVersion1 | kMerged | kOfControl) {
    guest.Agree(features);
    guest.SetUp(0, receive.layout);
    guest.SetUp(1, transmit.layout);
    guest.SetUp(2, control.layout);
    guest.Go();
  }
  [[nodiscard]] fakes::VhostState State() { return kernel.Vhost("vhost-net"); }

  FakeKernel kernel;
  FakeTun tun;
  Fd interrupt = MakeEventFd(kernel);
  Fd error = MakeEventFd(kernel);
  std::optional<NetDevice> device;
  VirtioGuest guest{[this](const GuestRam& ram, const Fd& /*interrupt*/) -> VirtioDevice& {
    return device.emplace(Tap(tun, {.name = "tap0"}), MacAddress{2, 0, 0, 0, 0, 1},
                          VhostParts{OpenVhostNet(kernel), ram, {interrupt, error}});
  }};
  DriverQueue receive{guest.memory, VirtioRam::kStart};
  DriverQueue transmit{guest.memory, VirtioRam::kStart + 0x4000};
  DriverQueue control{guest.memory, VirtioRam::kStart + 0x8000};
};

TEST_CASE("the kernel has both queues of a network, and its tap, while a driver drives it") {
  CarriedNet net;
  CHECK_FALSE(net.State().running);
  net.Start();
  CHECK(net.State().running);
  // It knows of queues and of merged buffers, and not of what is between the guest and the tap.
  CHECK(net.State().features == (VirtioGuest::kVersion1 | kMerged));
  CHECK(net.State().queues[0].backend >= 0);
  CHECK(net.State().queues[1].backend == net.State().queues[0].backend);
  net.guest.Write(0x70, 0);
  CHECK_FALSE(net.State().running);
  CHECK(net.State().queues[0].backend == -1);
  CHECK(net.State().queues[1].backend == -1);
  net.Start();
  CHECK(net.State().running);
  net.guest.Write(0x70, 0);
  CHECK(net.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("the kernel's thread does not preempt for each packet; who made it does as before") {
  CarriedNet net;
  CHECK(net.State().policy == SCHED_BATCH);
  CHECK(::sched_getscheduler(0) == SCHED_OTHER);
}

TEST_CASE("packets of a network that the kernel serves are not read here") {
  CarriedNet net;
  net.Start();
  net.receive.Describe(0, {VirtioRam::kStart + 0x10000, 2048, kVirtqWrite, 0});
  net.receive.MakeAvailable(0);
  net.tun.Send("a packet");
  CHECK(net.device->inputs().empty());
  CHECK(net.guest.transport.AwaitedInputs() == 0);
  net.guest.transport.OnNotified();
  CHECK(net.receive.UsedIndex() == 0);
  net.guest.Write(0x70, 0);
}

TEST_CASE("the control queue of a network that the kernel serves is served here") {
  CarriedNet net;
  net.Start();
  constexpr std::uint64_t kAt = VirtioRam::kStart + 0x10000;
  net.guest.memory.WriteText(kAt, std::string("\x09\x09", 2));  // no command
  net.control.Describe(0, {kAt, 2, kVirtqNext, 1});
  net.control.Describe(1, {kAt + 64, 1, kVirtqWrite, 0});
  net.control.MakeAvailable(0);
  net.guest.Write(0x50, 2);
  CHECK(VirtioGuest::Take(net.guest.notification) > 0);
  net.guest.transport.OnNotified();
  CHECK(net.guest.memory.Read<std::uint8_t>(kAt + 64) == 1);
  CHECK(net.control.UsedIndex() == 1);
  net.guest.Write(0x70, 0);
}

TEST_CASE("where the kernel takes one of the queues only, it has none") {
  CarriedNet net;
  net.kernel.FailMatching("VHOST_NET_SET_BACKEND 1 tap", EBUSY);
  net.Start();
  CHECK((net.guest.Status() & VirtioGuest::kNeedsReset) != 0);
  CHECK(net.State().queues[0].backend == -1);
}

TEST_CASE("a kernel that does not merge buffers has the driver not ask for it") {
  CarriedNet net;
  CHECK((net.guest.Offered() & kMerged) != 0);
  net.kernel.host.vhost_features &= ~kMerged;
  const NetDevice older(
      Tap(net.tun, {.name = "tap1"}), MacAddress{2, 0, 0, 0, 0, 2},
      VhostParts{OpenVhostNet(net.kernel), net.guest.memory.ram, {net.interrupt, net.error}});
  CHECK((older.profile().features & kMerged) == 0);
  CHECK((older.profile().features & kOfControl) != 0);
}

TEST_CASE("a host without vhost-net, or a user without permission, is told what to do") {
  FakeKernel kernel;
  const auto complaint = [&] { return ChainOf([&] { return OpenVhostNet(kernel); }); };
  kernel.host.vhost_error = ENOENT;
  CHECK(Contains(complaint(), "modprobe vhost_net"));
  kernel.host.vhost_error = EACCES;
  CHECK(Contains(complaint(), "no permission to use vhost-net"));
  kernel.host.vhost_error = 0;
  kernel.host.vhost_features = 0;
  CHECK(Contains(complaint(), "the kernel's vhost lacks features"));
  CHECK(kernel.Live() == std::vector<std::string>{});
}

}  // namespace
}  // namespace microvm
