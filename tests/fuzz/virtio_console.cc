// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: what a guest does to a virtio console's registers and to its own memory, and
// the host at its other end, in steps of 8 bytes. The device must survive it, stay inside that
// memory, and leave it alone once it is reset.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "devices/virtio/console_device.h"
#include "devices/virtio/mmio_transport.h"
#include "vmm/host/linux_kernel.h"

namespace {

using namespace microvm;

constexpr std::uint64_t kStart = 0x4000'0000;

struct alignas(4096) Ram {
  std::array<std::byte, 262144> bytes;
};
Ram ram;

struct Step {
  enum Kind : std::uint8_t { kWrite, kRead, kStore, kNotify, kEnded, kTake, kReceive, kKinds };
  std::uint8_t kind;
  std::uint8_t where;     // of a register: a quarter of its offset
  std::uint16_t address;  // in memory: a quarter
  std::uint32_t value;
};

class Host final : public ConsoleHost {
 public:
  void TransmitReady() noexcept override {}
  void ReceiveReady() noexcept override {}
};

struct Eventfds {
  LinuxKernel kernel;
  Fd notification = MakeEventFd(kernel);
  Fd interrupt = MakeEventFd(kernel);
  Fd ended = MakeEventFd(kernel);
};

struct Console {
  explicit Console(const Eventfds& fds, std::span<std::byte> registers)
      : device(host, fds.ended),
        transport("fuzz", device, guest, registers, {fds.notification, fds.interrupt}) {}

  void Do(const Step& step) {
    const std::uint64_t offset = std::uint64_t{step.where} * 4;
    std::array<std::byte, 8> data{};
    std::array<std::uint8_t, 8192> bytes;
    bytes.fill(static_cast<std::uint8_t>(step.value >> 24));
    StoreRegister(data, step.value);
    switch (step.kind % Step::kKinds) {
      case Step::kWrite:
        transport.Write(offset, std::span(data).first(4));
        break;
      case Step::kRead:
        transport.Read(offset, std::span(data).first(4));
        break;
      case Step::kStore:
        std::memcpy(&ram.bytes[std::size_t{step.address} * 4], &step.value, sizeof(step.value));
        break;
      case Step::kNotify:
        transport.OnNotified();
        break;
      case Step::kEnded:
        transport.OnEnded();
        break;
      case Step::kTake:
        device.TakeTransmitted(std::span(bytes).first(step.value % bytes.size()));
        break;
      default:
        device.Receive(std::span(bytes).first(step.value % bytes.size()));
        break;
    }
  }
  // A driver that has reset it takes its memory back.
  void CheckReset() {
    transport.Reset();
    ram.bytes.fill(std::byte{0});
    std::array<std::uint8_t, 8192> bytes;
    bytes.fill(1);
    if (device.Receive(bytes) != 0) __builtin_trap();
    while (device.TakeTransmitted(bytes) > 0) {
    }
    transport.OnEnded();
    const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
    if (!std::ranges::all_of(ram.bytes, is_zero)) __builtin_trap();
  }

  GuestRam guest{{AddressRange({kStart}, ram.bytes.size())}, ram.bytes};
  Host host;
  ConsoleDevice device;
  MmioTransport transport;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Eventfds fds;
  alignas(4096) static std::array<std::byte, MmioTransport::kSizeBytes> registers;
  registers.fill(std::byte{0});
  ram.bytes.fill(std::byte{0});
  Console console(fds, registers);
  for (std::size_t at = 0; at + sizeof(Step) <= size; at += sizeof(Step)) {
    Step step{};
    std::memcpy(&step, data + at, sizeof(step));
    console.Do(step);
  }
  console.CheckReset();
  return 0;
}
