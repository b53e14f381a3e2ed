// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: what a guest does to a network device's queues, its control queue among them,
// and what the host's end sends and does not read, in steps of 8 bytes. The device must survive it,
// and stay inside the guest's memory.
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "devices/virtio/mmio_transport.h"
#include "devices/virtio/net_device.h"
#include "tests/devices/fake_tun.h"

namespace {

using namespace microvm;

constexpr std::uint64_t kStart = 0x4000'0000;
constexpr std::uint16_t kPairs = 2;
constexpr std::uint32_t kQueues = 2 * kPairs + 1;
// Each queue has a page: its descriptors, what is available and what is used.
constexpr std::uint32_t kQueueBytes = 0x1000;
constexpr std::uint32_t kAvailable = 0x400;
constexpr std::uint32_t kUsed = 0x800;
constexpr std::uint32_t kEntries = 16;

struct alignas(4096) Ram {
  std::array<std::byte, 131072> bytes;
};
Ram ram;

struct Step {
  enum Kind : std::uint8_t {
    kStartDriver,    // a driver, with features of `value`
    kDescribe,       // a descriptor of a queue
    kMakeAvailable,  // make one available
    kNotify,
    kInput,
    kSend,  // the host sends a packet of so many bytes
    kStore,
    kReceive,    // the host reads what it was sent
    kStopQueue,  // it is taken back
    kKinds
  };
  std::uint8_t kind;
  std::uint8_t where;
  std::uint16_t small;
  std::uint32_t value;
};

struct Fixture {
  fakes::FakeTun tun;
  Fd notification = MakeEventFd(tun);
  Fd interrupt = MakeEventFd(tun);
  GuestRam guest{{AddressRange({kStart}, ram.bytes.size())}, ram.bytes};
  NetDevice device{Tap(tun, {.name = "tap0", .queues = kPairs}), {2, 0, 0, 0, 0, 1}};
};

void Store(std::uint64_t offset, auto value) {
  if (offset + sizeof(value) <= ram.bytes.size()) {
    std::memcpy(&ram.bytes[offset], &value, sizeof(value));
  }
}

void Write(MmioTransport& transport, std::uint64_t offset, std::uint64_t value) {
  std::array<std::byte, 4> data{};
  StoreRegister(data, value & UINT32_MAX);
  transport.Write(offset, data);
}

void Start(MmioTransport& transport, std::uint64_t features) {
  for (const std::uint32_t status : {0U, 1U, 3U}) Write(transport, 0x70, status);
  for (const std::uint32_t half : {0U, 1U}) {
    Write(transport, 0x24, half);
    Write(transport, 0x20, features >> (32 * half));
  }
  Write(transport, 0x70, 11);
  for (std::uint32_t queue = 0; queue < kQueues; ++queue) {
    const std::uint64_t at = kStart + std::uint64_t{queue} * kQueueBytes;
    Write(transport, 0x30, queue);
    Write(transport, 0x38, kEntries);
    Write(transport, 0x80, at);
    Write(transport, 0x90, at + kAvailable);
    Write(transport, 0xa0, at + kUsed);
    Write(transport, 0x44, 1);
  }
  Write(transport, 0x70, 15);
}

void Describe(const Step& step) {
  const std::uint64_t at =
      std::uint64_t{step.where % kQueues} * kQueueBytes + std::uint64_t{step.small} % kEntries * 16;
  Store(at, kStart + step.value % ram.bytes.size());
  Store(at + 8, std::uint32_t{step.small});
  Store(at + 12, static_cast<std::uint16_t>(step.where >> 4 & 7));
  Store(at + 14, static_cast<std::uint16_t>(step.value >> 20 & 15));
}

void MakeAvailable(const Step& step) {
  const std::uint64_t at = std::uint64_t{step.where % kQueues} * kQueueBytes + kAvailable;
  std::uint16_t index = 0;
  std::memcpy(&index, &ram.bytes[at + 2], sizeof(index));
  Store(at + 4 + 2ULL * (index % kEntries), static_cast<std::uint16_t>(step.small % kEntries));
  Store(at + 2, static_cast<std::uint16_t>(index + 1));
}

void Do(const Step& step, Fixture& fixture, MmioTransport& transport) {
  const std::size_t pair = step.where % kPairs;
  // Of VIRTIO_F_VERSION_1 there is no question; the rest is what the guest says.
  const std::uint64_t features = std::uint64_t{1} << 32 | std::uint64_t{step.small & 7U} << 54;
  switch (step.kind % Step::kKinds) {
    case Step::kStartDriver:
      return Start(transport, features | step.value);
    case Step::kDescribe:
      return Describe(step);
    case Step::kMakeAvailable:
      return MakeAvailable(step);
    case Step::kNotify:
      return transport.OnNotified();
    case Step::kInput:
      if ((transport.AwaitedInputs() >> pair & 1) != 0) transport.OnInput(pair);
      return;
    case Step::kSend: {
      static const std::array<std::byte, 70000> packet{};
      ::send(fixture.tun.hosts[pair], packet.data(), std::min<std::size_t>(step.value, 70000),
             MSG_DONTWAIT | MSG_NOSIGNAL);
      return;
    }
    case Step::kReceive:
      fixture.tun.Receive(pair);
      return;
    case Step::kStore:
      return Store(std::uint64_t{step.small} * 2, step.value);
    default:
      Write(transport, 0x30, step.where);
      return Write(transport, 0x44, 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Fixture fixture;
  alignas(4096) static std::array<std::byte, MmioTransport::kSizeBytes> registers;
  registers.fill(std::byte{0});
  ram.bytes.fill(std::byte{0});
  MmioTransport transport("fuzz", fixture.device, fixture.guest, registers,
                          {fixture.notification, fixture.interrupt});
  for (std::size_t at = 0; at + sizeof(Step) <= size; at += sizeof(Step)) {
    Step step{};
    std::memcpy(&step, data + at, sizeof(step));
    Do(step, fixture, transport);
  }
  transport.Reset();
  for (const int fd : fixture.tun.hosts) {
    std::array<std::byte, 1> packet{};
    while (::recv(fd, packet.data(), packet.size(), MSG_DONTWAIT) >= 0) {
    }
  }
  return 0;
}
