// SPDX-License-Identifier: Apache-2.0
// Sockets between host and guest: what the host's kernel is told of a driver's queues, and when.
#include "devices/virtio/vsock_device.h"

#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "tests/devices/virtio_guest.h"
#include "tests/fakes/exceptions.h"
#include "tests/fakes/fake_kernel.h"

namespace microvm {
namespace {

using fakes::ChainOf;
using fakes::Contains;
using fakes::DriverQueue;
using fakes::FakeKernel;
using fakes::VhostState;
using fakes::VirtioGuest;
using fakes::VirtioRam;

constexpr std::uint64_t kVersion1 = VirtioGuest::kVersion1;
constexpr std::uint64_t kSeqpacket = 2;

// A guest with CID 5 and the driver of its sockets.
struct Sockets {
  [[nodiscard]] VhostState State() { return kernel.Vhost(); }
  [[nodiscard]] bool NeedsReset() { return (guest.Status() & VirtioGuest::kNeedsReset) != 0; }
  // Up to DRIVER_OK, with these of the queues.
  void Start(std::uint64_t features = kVersion1,
             const std::vector<std::uint32_t>& queues = {0, 1, 2}) {
    guest.Agree(features);
    for (const std::uint32_t queue : queues) guest.SetUp(queue, Layout(queue));
    guest.Go();
  }
  static QueueLayout Layout(std::uint32_t queue) {
    const GuestAddress start{VirtioRam::kStart + std::uint64_t{0x4000} * queue};
    return {static_cast<std::uint16_t>(8U << queue),
            start,
            {start.value + 0x1000},
            {start.value + 0x2000}};
  }

  FakeKernel kernel;
  LinuxKernel linux_kernel;
  Fd interrupt = MakeEventFd(kernel);
  Fd error = MakeEventFd(kernel);
  std::optional<VsockDevice> device;
  VirtioGuest guest{[this](const GuestRam& ram, const Fd& /*interrupt*/) -> VirtioDevice& {
    return device.emplace(kernel, VsockOptions{.cid = 5}, ram, VhostEvents{interrupt, error});
  }};
};

TEST_CASE("the registers say that it is a socket device, and the guest's CID") {
  Sockets sockets;
  CHECK(sockets.guest.Read(0x008) == 19);
  CHECK(sockets.guest.Read(0x100) == 5);
  CHECK(sockets.guest.Read(0x104) == 0);
  for (const std::uint32_t queue : {0U, 1U, 2U, 3U}) {
    sockets.guest.Write(0x30, queue);
    CHECK((sockets.guest.Read(0x34) != 0) == (queue < 3));
  }
  // Of what the kernel offers, nothing that changes what an address is.
  CHECK(sockets.guest.Offered() ==
        (kVersion1 | VirtioGuest::kIndirect | VirtioGuest::kEventIndex | kSeqpacket));
  sockets.kernel.host.vhost_features &= ~kSeqpacket;
  const VsockDevice older(sockets.kernel, {.cid = 6}, sockets.guest.memory.ram,
                          {sockets.interrupt, sockets.error});
  CHECK(older.profile().features == 0);
}

TEST_CASE("the kernel is told of the guest's RAM and of nothing else, and who is whom") {
  Sockets sockets;
  const VhostState state = sockets.State();
  CHECK(state.owned);
  CHECK(state.cid == 5);
  CHECK_FALSE(state.running);
  const auto host = reinterpret_cast<std::uint64_t>(sockets.guest.memory.At(VirtioRam::kStart));
  REQUIRE(state.memory.size() == 1);
  CHECK(state.memory[0] ==
        std::array<std::uint64_t, 3>{VirtioRam::kStart, VirtioRam::kBytes, host});
  for (std::size_t queue = 0; queue < 2; ++queue) {
    CHECK(state.queues[queue].kick == sockets.device->vhost()->kicks()[queue].get());
    CHECK(state.queues[queue].call == sockets.interrupt.get());
    CHECK(state.queues[queue].error == sockets.error.get());
  }
}

TEST_CASE("RAM in pieces is told in pieces") {
  FakeKernel kernel;
  std::vector<std::byte> bytes(0x5000);
  const GuestRam ram({AddressRange({0x1000}, 0x2000), AddressRange({0x8000'0000}, 0x3000)}, bytes);
  const Fd event = MakeEventFd(kernel);
  const VsockDevice device(kernel, {.cid = 3}, ram, {event, event});
  const auto host = reinterpret_cast<std::uint64_t>(bytes.data());
  CHECK(kernel.Vhost().memory == std::vector<std::array<std::uint64_t, 3>>{
                                     {0x1000, 0x2000, host}, {0x8000'0000, 0x3000, host + 0x2000}});
}

TEST_CASE("when the driver is ready the kernel has its queues and what was agreed on") {
  Sockets sockets;
  sockets.Start(kVersion1 | VirtioGuest::kEventIndex | kSeqpacket);
  const VhostState state = sockets.State();
  CHECK(state.running);
  CHECK(state.features == (kVersion1 | VirtioGuest::kEventIndex | kSeqpacket));
  for (std::uint32_t queue = 0; queue < 2; ++queue) {
    const QueueLayout layout = Sockets::Layout(queue);
    const auto at = [&](GuestAddress address) {
      return reinterpret_cast<std::uint64_t>(sockets.guest.memory.At(address.value));
    };
    CHECK(state.queues[queue].size == layout.size);
    CHECK(state.queues[queue].descriptors == at(layout.descriptors));
    CHECK(state.queues[queue].available == at(layout.available));
    CHECK(state.queues[queue].used == at(layout.used));
  }
  CHECK_FALSE(sockets.NeedsReset());
  CHECK(sockets.guest.Read(0x60) == 1);
}

TEST_CASE("what the kernel serves is not served here") {
  Sockets sockets;
  DriverQueue queue(sockets.guest.memory, VirtioRam::kStart);
  queue.Describe(0, {VirtioRam::kStart + 0x10000, 16, 0, 0});
  queue.MakeAvailable(0);
  sockets.Start(kVersion1 | VirtioGuest::kEventIndex);
  sockets.guest.transport.OnNotified();
  CHECK(queue.UsedIndex() == 0);
  CHECK(queue.AvailableEvent() == 0);
  CHECK(sockets.guest.transport.counts().requests == 0);
}

TEST_CASE("a trapped notification goes to the kernel for its queues, and to the loop for others") {
  Sockets sockets;
  sockets.Start();
  VirtioGuest::Take(sockets.guest.notification);
  const auto kicks = sockets.device->vhost()->kicks();
  sockets.guest.Write(0x50, 1);
  CHECK(VirtioGuest::Take(kicks[0]) == 0);
  CHECK(VirtioGuest::Take(kicks[1]) == 1);
  CHECK(VirtioGuest::Take(sockets.guest.notification) == 0);
  sockets.guest.Write(0x50, 2);
  sockets.guest.Write(0x50, UINT32_MAX);
  CHECK(VirtioGuest::Take(sockets.guest.notification) == 2);
  CHECK(VirtioGuest::Take(kicks[0]) + VirtioGuest::Take(kicks[1]) == 0);
}

TEST_CASE("buffers for events are kept, until a reset") {
  Sockets sockets;
  DriverQueue events(sockets.guest.memory, Sockets::Layout(2).descriptors.value, 32);
  sockets.Start();
  for (std::uint16_t index = 0; index < 8; ++index) {
    events.Describe(index, {VirtioRam::kStart + 0x10000, 4, fakes::kVirtqWrite, 0});
    events.MakeAvailable(index);
  }
  sockets.guest.transport.OnNotified();
  CHECK(events.UsedIndex() == 0);
  CHECK_FALSE(sockets.NeedsReset());
  sockets.guest.Write(0x70, 0);
  sockets.Start();
  CHECK(sockets.State().running);
}

TEST_CASE("a reset has the kernel stop; started again, it begins at the start of new queues") {
  Sockets sockets;
  sockets.Start();
  sockets.guest.Write(0x70, 0);
  CHECK_FALSE(sockets.State().running);
  CHECK(sockets.State().cid == 5);
  sockets.Start(kVersion1 | kSeqpacket);
  CHECK(sockets.State().running);
  CHECK(sockets.State().features == (kVersion1 | kSeqpacket));
  sockets.guest.transport.Reset();
  CHECK_FALSE(sockets.State().running);
  CHECK(sockets.kernel.violations() == std::vector<std::string>{});
}

TEST_CASE("a queue that is taken back has the kernel stop before it is") {
  for (const std::uint32_t queue : {0U, 1U}) {
    Sockets sockets;
    sockets.Start();
    sockets.guest.Write(0x30, queue);
    sockets.guest.Write(0x44, 0);
    CHECK_FALSE(sockets.State().running);
  }
}

TEST_CASE("the kernel serves all of its queues, or the device needs a reset") {
  for (const std::vector<std::uint32_t>& queues :
       {std::vector<std::uint32_t>{0}, {1}, {2}, {}, {0, 2}}) {
    Sockets sockets;
    sockets.Start(kVersion1, queues);
    CHECK(sockets.NeedsReset());
    CHECK_FALSE(sockets.State().running);
  }
  // Nor is one served that the driver has taken back before it was ready.
  Sockets taken_back;
  taken_back.guest.Agree(kVersion1);
  for (const std::uint32_t queue : {1U, 0U}) {
    taken_back.guest.SetUp(queue, Sockets::Layout(queue));
  }
  taken_back.guest.Write(0x44, 0);
  taken_back.guest.Go();
  CHECK(taken_back.NeedsReset());
  CHECK_FALSE(taken_back.State().running);
  // One for events need not be there.
  Sockets sockets;
  sockets.Start(kVersion1, {0, 1});
  CHECK_FALSE(sockets.NeedsReset());
  CHECK(sockets.State().running);
}

TEST_CASE("where the kernel refuses while the guest runs, the device needs a reset, which helps") {
  for (const char* call : {"VHOST_SET_FEATURES", "VHOST_SET_VRING_NUM 0", "VHOST_SET_VRING_BASE 1",
                           "VHOST_SET_VRING_ADDR 1", "VHOST_VSOCK_SET_RUNNING 1"}) {
    CAPTURE(call);
    Sockets sockets;
    sockets.kernel.FailMatching(call, EFAULT);
    sockets.Start();
    CHECK(sockets.NeedsReset());
    CHECK_FALSE(sockets.State().running);
    CHECK(sockets.guest.transport.counts().failures == 1);
    CHECK(Contains(fakes::Lines(sockets.kernel.log()), call));
    sockets.guest.Write(0x70, 0);
    CHECK_FALSE(sockets.NeedsReset());
  }
}

TEST_CASE("a queue that the kernel finds broken is told to the driver, if it is there still") {
  Sockets sockets;
  sockets.guest.transport.OnVhostError();
  CHECK(sockets.guest.Status() == 0);
  sockets.Start();
  sockets.guest.transport.OnVhostError();
  CHECK(sockets.NeedsReset());
  CHECK(VirtioGuest::Take(sockets.guest.interrupt) == 1);
  CHECK(sockets.guest.transport.counts().failures == 1);
  CHECK_FALSE(sockets.State().running);
}

TEST_CASE("a device that needs a reset has the kernel stop, too") {
  Sockets sockets;
  DriverQueue events(sockets.guest.memory, Sockets::Layout(2).descriptors.value, 32);
  sockets.Start();
  events.Describe(0, {0, 16, fakes::kVirtqWrite, 0});  // nowhere
  events.MakeAvailable(0);
  sockets.guest.transport.OnNotified();
  CHECK(sockets.NeedsReset());
  CHECK_FALSE(sockets.State().running);
}

TEST_CASE("a host without vhost-vsock, or a user without permission, is told what to do") {
  FakeKernel kernel;
  const auto complaint = [&] { return ChainOf([&] { return OpenVsock(kernel, {.cid = 3}); }); };
  kernel.host.vhost_error = ENOENT;
  CHECK(Contains(complaint(), "vsock\n  this host offers no vhost-vsock"));
  CHECK(Contains(complaint(), "modprobe vhost_vsock"));
  kernel.host.vhost_error = EACCES;
  CHECK(Contains(complaint(), "no permission to use vhost-vsock"));
  CHECK(Contains(complaint(), "setfacl -m u:USER:rw /dev/vhost-vsock"));
  kernel.host.vhost_error = 0;
  kernel.host.vhost_features &= ~kVersion1;
  CHECK(Contains(complaint(), "the kernel's vhost lacks features"));
  CHECK(kernel.Live() == std::vector<std::string>{});
}

TEST_CASE("a CID has one machine, which gives it back at its end") {
  FakeKernel kernel;
  {
    const Fd first = OpenVsock(kernel, {.cid = 3});
    const std::string complaint = ChainOf([&] { return OpenVsock(kernel, {.cid = 3}); });
    CHECK(Contains(complaint, "another machine has the CID 3"));
    CHECK(Contains(complaint, "a 'cid' of its own"));
    CHECK(ChainOf([&] { return OpenVsock(kernel, {.cid = 4}); }) == "");
  }
  CHECK(ChainOf([&] { return OpenVsock(kernel, {.cid = 3}); }) == "");
}

TEST_CASE("a descriptor that is passed in is used and closed; it must be vhost-vsock's") {
  FakeKernel kernel;
  const int passed = kernel.Open("/dev/vhost-vsock", O_RDWR);
  kernel.ClearLog();
  CHECK(OpenVsock(kernel, {.cid = 3, .fd = passed}).get() == passed);
  CHECK(kernel.log() == std::vector<std::string>{"VHOST_VSOCK_SET_GUEST_CID 3",
                                                 "VHOST_GET_FEATURES", "close vhost-vsock"});
  const int other = kernel.Open("/dev/kvm", O_RDWR);
  kernel.FailMatching("VHOST_VSOCK_SET_GUEST_CID", ENOTTY);
  CHECK(Contains(ChainOf([&] { return OpenVsock(kernel, {.cid = 3, .fd = other}); }),
                 "start microvm with /dev/vhost-vsock open as 'vhost_fd'"));
  CHECK(kernel.Live() == std::vector<std::string>{});
}

}  // namespace
}  // namespace microvm
