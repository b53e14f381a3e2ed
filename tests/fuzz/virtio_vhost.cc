// SPDX-License-Identifier: Apache-2.0
// libFuzzer's entry: what a guest does to the registers of a device whose queues the host's kernel
// serves, in steps of 8 bytes, while that kernel refuses what it likes. The kernel must be given
// queues in the guest's RAM only, all or none, and let go of them before the driver has them back.
#include <fcntl.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "devices/virtio/mmio_transport.h"
#include "devices/virtio/vhost_uapi.h"
#include "devices/virtio/vsock_device.h"
#include "vmm/host/linux_kernel.h"

namespace {

using namespace microvm;

constexpr std::uint64_t kStart = 0x4000'0000;

struct alignas(4096) Ram {
  std::array<std::byte, 65536> bytes;
};
Ram ram;

void Require(bool held) {
  if (!held) __builtin_trap();
}

bool IsRam(std::uint64_t address, std::uint64_t length) {
  const auto start = reinterpret_cast<std::uint64_t>(ram.bytes.data());
  return address >= start && length <= ram.bytes.size() &&
         address - start <= ram.bytes.size() - length;
}

// The real one, but for vhost's.
class VhostKernel final : public LinuxKernel {
 public:
  int Open(const char* /*path*/, int flags) override {
    return LinuxKernel::Open("/dev/null", flags);
  }
  int Ioctl(int /*fd*/, unsigned long request, void* argument) override {
    // It lets go of queues whenever it is asked.
    const bool stops = request == VHOST_VSOCK_SET_RUNNING && *static_cast<int*>(argument) == 0;
    if (!stops && refused != 0 && --refused == 0) {
      errno = EFAULT;
      return -1;
    }
    std::uint32_t index = 0;
    switch (request) {
      case VHOST_GET_FEATURES:
        *static_cast<std::uint64_t*>(argument) = 0x3'3d00'0002;
        return 0;
      case VHOST_SET_VRING_NUM:
        std::memcpy(&index, argument, sizeof(index));
        sizes_.at(index) = static_cast<vhost_vring_state*>(argument)->num;
        Require(!running);
        return 0;
      case VHOST_SET_VRING_ADDR:
        std::memcpy(&index, argument, sizeof(index));
        places_.at(index) = *static_cast<vhost_vring_addr*>(argument);
        Require(!running);
        return 0;
      case VHOST_VSOCK_SET_RUNNING:
        running = *static_cast<int*>(argument) != 0;
        if (running) CheckQueues();
        return 0;
      default:
        return 0;
    }
  }

  bool running = false;
  unsigned refused = 0;  // which of the next calls fails; 0: none

 private:
  void CheckQueues() const {
    for (std::size_t index = 0; index < sizes_.size(); ++index) {
      const std::uint64_t size = sizes_[index];
      Require(size > 0 && size <= 32768 && (size & (size - 1)) == 0);
      Require(IsRam(places_[index].desc_user_addr, 16 * size));
      Require(IsRam(places_[index].avail_user_addr, 6 + 2 * size));
      Require(IsRam(places_[index].used_user_addr, 6 + 8 * size));
    }
  }

  std::array<std::uint32_t, 2> sizes_{};
  std::array<vhost_vring_addr, 2> places_{};
};

struct Step {
  enum Kind : std::uint8_t { kWrite, kRead, kNotify, kError, kRefuse, kKinds };
  std::uint8_t kind;
  std::uint8_t where;  // of a register: a quarter of its offset
  std::uint16_t unused;
  std::uint32_t value;
};

struct Fixture {
  VhostKernel kernel;
  Fd notification = MakeEventFd(kernel);
  Fd interrupt = MakeEventFd(kernel);
  Fd error = MakeEventFd(kernel);
  GuestRam guest{{AddressRange({kStart}, ram.bytes.size())}, ram.bytes};
  VsockDevice device{kernel, {.cid = 3}, guest, {interrupt, error}};
};

void Do(const Step& step, MmioTransport& transport, VhostKernel& kernel) {
  std::array<std::byte, 4> data{};
  StoreRegister(data, step.value);
  switch (step.kind % Step::kKinds) {
    case Step::kWrite:
      transport.Write(std::uint64_t{step.where} * 4, data);
      // 2.1: a reset takes the queues back.
      if (step.where == 0x70 / 4 && step.value == 0) Require(!kernel.running);
      break;
    case Step::kRead:
      transport.Read(std::uint64_t{step.where} * 4, data);
      break;
    case Step::kNotify:
      transport.OnNotified();
      break;
    case Step::kError:
      transport.OnVhostError();
      break;
    default:
      kernel.refused = step.value % 16;
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
    Do(step, transport, fixture.kernel);
  }
  fixture.kernel.refused = 0;
  transport.Reset();
  Require(!fixture.kernel.running);
  return 0;
}
