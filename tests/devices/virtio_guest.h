// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "devices/virtio/mmio_transport.h"
#include "vmm/host/linux_kernel.h"

namespace microvm::fakes {

// The guest's RAM: an array, which is all that a queue needs.
class VirtioRam {
 public:
  static constexpr std::uint64_t kStart = 0x4000'0000;
  static constexpr std::size_t kBytes = 1U << 20;

  template <typename Value>
  void Write(std::uint64_t address, const Value& value) {
    std::memcpy(At(address), &value, sizeof(value));
  }
  template <typename Value>
  [[nodiscard]] Value Read(std::uint64_t address) {
    Value value;
    std::memcpy(&value, At(address), sizeof(value));
    return value;
  }
  void WriteText(std::uint64_t address, const std::string& text) {
    std::memcpy(At(address), text.data(), text.size());
  }
  [[nodiscard]] std::string ReadText(std::uint64_t address, std::size_t length) {
    return {reinterpret_cast<const char*>(At(address)), length};
  }
  [[nodiscard]] std::byte* At(std::uint64_t address) {
    return reinterpret_cast<std::byte*>(pages_.data()) + (address - kStart);
  }

 private:
  struct alignas(4096) Page {
    std::array<std::byte, 4096> bytes{};
  };
  std::vector<Page> pages_ = std::vector<Page>(kBytes / sizeof(Page));

 public:
  GuestRam ram{{AddressRange({kStart}, kBytes)},
               {reinterpret_cast<std::byte*>(pages_.data()), kBytes}};
};

struct VirtqDescriptor {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint16_t flags = 0;
  std::uint16_t next = 0;
};
inline constexpr std::uint16_t kVirtqNext = 1;
inline constexpr std::uint16_t kVirtqWrite = 2;
inline constexpr std::uint16_t kVirtqIndirect = 4;

// A driver's end of a split queue (virtio 1.2, 2.7).
class DriverQueue {
 public:
  DriverQueue(VirtioRam& ram, std::uint64_t start, std::uint16_t size = 8)
      : layout{size, {start}, {start + 0x1000}, {start + 0x2000}}, ram_(ram) {}

  void Describe(std::uint16_t index, const VirtqDescriptor& descriptor) {
    ram_.Write(layout.descriptors.value + 16ULL * index, descriptor);
  }
  void MakeAvailable(std::uint16_t head) {
    ram_.Write(layout.available.value + 4 + 2ULL * (index_ % layout.size), head);
    SetAvailableIndex(++index_);
  }
  void SetAvailableIndex(std::uint16_t index) { ram_.Write(layout.available.value + 2, index); }
  void SetAvailableFlags(std::uint16_t flags) { ram_.Write(layout.available.value, flags); }
  // With event indexes: the entry of the used ring to be interrupted for.
  void SetUsedEvent(std::uint16_t index) {
    ram_.Write(layout.available.value + 4 + 2ULL * layout.size, index);
  }
  [[nodiscard]] std::uint16_t AvailableEvent() {
    return ram_.Read<std::uint16_t>(layout.used.value + 4 + 8ULL * layout.size);
  }
  [[nodiscard]] std::uint16_t UsedFlags() { return ram_.Read<std::uint16_t>(layout.used.value); }
  [[nodiscard]] std::uint16_t UsedIndex() {
    return ram_.Read<std::uint16_t>(layout.used.value + 2);
  }
  struct Used {
    std::uint32_t id;
    std::uint32_t length;
  };
  [[nodiscard]] Used UsedEntry(std::uint16_t index) {
    return ram_.Read<Used>(layout.used.value + 4 + 8ULL * (index % layout.size));
  }

  QueueLayout layout;

 private:
  VirtioRam& ram_;
  std::uint16_t index_ = 0;
};

// A driver at the registers of a device.
class VirtioGuest {
 public:
  static constexpr std::uint32_t kAcknowledge = 1;
  static constexpr std::uint32_t kDriver = 2;
  static constexpr std::uint32_t kDriverOk = 4;
  static constexpr std::uint32_t kFeaturesOk = 8;
  static constexpr std::uint32_t kNeedsReset = 64;
  static constexpr std::uint64_t kVersion1 = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kIndirect = std::uint64_t{1} << 28;
  static constexpr std::uint64_t kEventIndex = std::uint64_t{1} << 29;

  // A device that is made with the guest's RAM and interrupt.
  using MakeDevice = std::function<VirtioDevice&(const GuestRam& ram, const Fd& interrupt)>;

  explicit VirtioGuest(const MakeDevice& make)
      : transport("device", make(memory.ram, interrupt), memory.ram, registers,
                  {notification, interrupt}) {}
  explicit VirtioGuest(VirtioDevice& device)
      : transport("device", device, memory.ram, registers, {notification, interrupt}) {}

  [[nodiscard]] std::uint32_t Read(std::uint64_t offset) {
    std::array<std::byte, 4> data{};
    transport.Read(offset, data);
    return static_cast<std::uint32_t>(LoadRegister(data));
  }
  MmioResult Write(std::uint64_t offset, std::uint64_t value, std::size_t width = 4) {
    std::array<std::byte, 8> data{};
    StoreRegister(data, value);
    return transport.Write(offset, std::span(data).first(width));
  }
  [[nodiscard]] std::uint32_t Status() { return Read(0x70); }
  [[nodiscard]] std::uint64_t Offered() {
    Write(0x14, 1);
    const std::uint64_t high = Read(0x10);
    Write(0x14, 0);
    return high << 32 | Read(0x10);
  }
  // Up to FEATURES_OK; true if the device agreed.
  bool Agree(std::uint64_t features) {
    Write(0x70, 0);
    Write(0x70, kAcknowledge);
    Write(0x70, kAcknowledge | kDriver);
    for (std::uint32_t half = 0; half < 2; ++half) {
      Write(0x24, half);
      Write(0x20, features >> (32 * half) & UINT32_MAX);
    }
    Write(0x70, kAcknowledge | kDriver | kFeaturesOk);
    return (Status() & kFeaturesOk) != 0;
  }
  // True if the queue is ready then.
  bool SetUp(std::uint32_t queue, const QueueLayout& layout) {
    Write(0x30, queue);
    Write(0x38, layout.size);
    WriteAddress(0x80, layout.descriptors);
    WriteAddress(0x90, layout.available);
    WriteAddress(0xa0, layout.used);
    Write(0x44, 1);
    return Read(0x44) == 1;
  }
  void Go() { Write(0x70, kAcknowledge | kDriver | kFeaturesOk | kDriverOk); }
  void Start(const DriverQueue& queue, std::uint64_t features = kVersion1) {
    Agree(features);
    SetUp(0, queue.layout);
    Go();
  }

  // How often an eventfd was signalled since the last time.
  static std::uint64_t Take(const Fd& eventfd);

  LinuxKernel kernel;
  VirtioRam memory;
  Fd notification = MakeEventFd(kernel);
  Fd interrupt = MakeEventFd(kernel);
  alignas(4096) std::array<std::byte, MmioTransport::kSizeBytes> registers{};
  MmioTransport transport;

 private:
  void WriteAddress(std::uint64_t offset, GuestAddress address) {
    Write(offset, address.value & UINT32_MAX);
    Write(offset + 4, address.value >> 32);
  }
};

}  // namespace microvm::fakes
