// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: what a guest does to a block device's registers and to its own memory, in
// steps of 8 bytes. The device must survive it, and stay inside that memory and its disk.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "devices/virtio/block_device.h"
#include "devices/virtio/mmio_transport.h"
#include "vmm/host/linux_kernel.h"

namespace {

using namespace microvm;

constexpr std::uint64_t kStart = 0x4000'0000;
constexpr std::size_t kDiskBytes = 65536;

struct alignas(4096) Ram {
  std::array<std::byte, 262144> bytes;
};
Ram ram;

struct Step {
  enum Kind : std::uint8_t { kWrite, kRead, kStore, kNotify, kEnded, kReadWidth, kKinds };
  std::uint8_t kind;
  std::uint8_t where;     // of a register: a quarter of its offset
  std::uint16_t address;  // in memory: a quarter
  std::uint32_t value;
};

// A disk in memory, under the name that it has in /proc.
std::string MakeDisk() {
  const int fd = ::memfd_create("disk", 0);
  if (fd < 0 || ::ftruncate(fd, kDiskBytes) != 0) __builtin_trap();
  return "/proc/self/fd/" + std::to_string(fd);
}

struct Fixture {
  LinuxKernel kernel;
  Fd notification = MakeEventFd(kernel);
  Fd interrupt = MakeEventFd(kernel);
  Fd ended = MakeEventFd(kernel);
  GuestRam guest{{AddressRange({kStart}, ram.bytes.size())}, ram.bytes};
  BlockDevice device{
      DiskImage(kernel, {.path = MakeDisk()}), {.serial = "fuzz", .queues = 2}, ended};
};

void Do(const Step& step, MmioTransport& transport) {
  const std::uint64_t offset = std::uint64_t{step.where} * 4;
  const std::uint64_t aligned = std::uint64_t{step.address} % 4096 / 8 * 8;
  std::array<std::byte, 8> data{};
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
    default:
      transport.Read(aligned, std::span(data).first(1U << (step.where % 4)));
      transport.Write(aligned, std::span(data).first(1U << (step.where % 4)));
      break;
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
    Do(step, transport);
  }
  transport.Reset();
  return 0;
}
