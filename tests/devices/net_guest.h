// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "devices/virtio/net_device.h"
#include "tests/devices/fake_tun.h"
#include "tests/devices/virtio_guest.h"

namespace microvm::fakes {

inline constexpr std::uint64_t kNetVersion = VirtioGuest::kVersion1;
inline constexpr std::uint64_t kNetMergeable = std::uint64_t{1} << 15;
inline constexpr std::uint64_t kNetControl = std::uint64_t{1} << 17;
inline constexpr std::uint64_t kNetMultiqueue = std::uint64_t{1} << 22;
inline constexpr MacAddress kNetMac = {0x52, 0x54, 0, 1, 2, 3};

// Bytes that are nowhere the same for long.
inline std::string NetText(std::size_t length) {
  std::string text(length, '\0');
  for (std::size_t at = 0; at < length; ++at) text[at] = static_cast<char>(at * 7 + at / 251);
  return text;
}

// A driver with a network, of one or two pairs of queues.
struct NetGuest {
  static constexpr std::uint64_t kPackets = VirtioRam::kStart + 0x40000;
  static constexpr std::uint64_t kSlot = 0x800;  // between buffers
  static constexpr std::uint64_t kCommand = VirtioRam::kStart + 0x30000;

  explicit NetGuest(std::uint64_t features = kNetVersion | kNetMergeable, std::uint16_t pairs = 1)
      : device(Tap(tun, {.name = "tap0", .queues = pairs}), kNetMac) {
    guest.Agree(features);
    guest.SetUp(0, rx.layout);
    guest.SetUp(1, tx.layout);
    guest.SetUp(pairs > 1 && (features & kNetMultiqueue) != 0 ? 4 : 2, control.layout);
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

}  // namespace microvm::fakes
