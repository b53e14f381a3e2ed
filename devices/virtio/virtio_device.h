// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "devices/virtio/descriptor_chain.h"

namespace microvm {

class Vhost;

// Device IDs (virtio 1.2, 5).
enum class VirtioId : std::uint32_t {
  kNetwork = 1,
  kBlock = 2,
  kConsole = 3,
  kEntropy = 4,
  kVsock = 19,
  kGpio = 41,
};

// What a driver may ask of a device.
struct VirtioProfile {
  VirtioId id;
  std::uint64_t features = 0;  // those of its kind; the transport adds its own
  std::uint16_t queues = 1;
  bool indirect = true;                    // VIRTIO_F_INDIRECT_DESC is offered
  std::span<const std::byte> config = {};  // its configuration space, which does not change
};

// What became of a request.
struct Handled {
  enum class How {
    kDone,       // `written_bytes` were written to the chain
    kLater,      // the device says when, by NextEnded
    kMalformed,  // no request of this kind of device: only a reset helps
  };
  How how;
  std::uint32_t written_bytes = 0;
};

// A request that was for later and has ended.
struct EndedRequest {
  std::uint16_t queue;
  std::uint16_t head;
  std::uint32_t written_bytes;
};

// What a device has carried since it was made.
struct VirtioTraffic {
  std::uint64_t bytes_read = 0;  // by the driver
  std::uint64_t bytes_written = 0;
  std::uint64_t errors = 0;  // requests that were answered with one
};

// What makes a virtio device one of its kind. Its transport calls one function at a time, on the
// event loop or on a vCPU's thread. Nothing may throw, and nothing a guest asks for may make
// memory grow.
class VirtioDevice {
 public:
  VirtioDevice() = default;
  VirtioDevice(const VirtioDevice&) = delete;
  VirtioDevice& operator=(const VirtioDevice&) = delete;
  VirtioDevice(VirtioDevice&&) = delete;
  VirtioDevice& operator=(VirtioDevice&&) = delete;
  virtual ~VirtioDevice() = default;

  [[nodiscard]] virtual const VirtioProfile& profile() const = 0;

  // The driver is ready, and has agreed on these of the profile's features.
  virtual void Start(std::uint64_t /*features*/) noexcept {}
  virtual Handled Handle(std::uint16_t queue, DescriptorChain& chain) noexcept = 0;
  // Whether it has room for a request of this queue now. If not, the driver's stay in the queue
  // until a request has ended.
  [[nodiscard]] virtual bool Takes(std::uint16_t /*queue*/) const noexcept { return true; }
  // Asked when a queue is empty, and `served` tells whether it just was not. True: the driver need
  // not notify of its next request, as the device looks at the queue again by itself, soon.
  [[nodiscard]] virtual bool LooksAgain(std::uint16_t /*queue*/, bool /*served*/) noexcept {
    return false;
  }
  // No more requests for the moment: those that were put off for company can go.
  virtual void Submit() noexcept {}
  // One that has ended; with `wait`, waits for one if any is in flight, for as long as a host may
  // reasonably take. Nothing: none has.
  virtual std::optional<EndedRequest> NextEnded(bool /*wait*/) noexcept { return std::nullopt; }
  // Requests are in flight: the host may write to their memory.
  [[nodiscard]] virtual bool IsBusy() const noexcept { return false; }
  // Those in flight are of no use any more: they should end soon, however they do.
  virtual void Cancel() noexcept {}
  // Called a while after a request, and again until it is true: a device that keeps memory of the
  // host's for the sake of the next request gives it up if there was none since the last call.
  virtual bool DropIdle() noexcept { return true; }
  // The driver takes the queue back. Chains of it that are kept until the host has something for
  // them are forgotten: their memory is not touched any more.
  virtual void Forget(std::uint16_t /*queue*/) noexcept {}
  // The driver writes to the configuration space, ready or not; false if there is nothing to write.
  virtual bool WriteConfig(std::uint64_t /*offset*/, std::uint32_t /*value*/) noexcept {
    return false;
  }

  // Of a device whose first queues the host's kernel serves: they do not come to Handle. The
  // transport starts and stops it.
  [[nodiscard]] virtual Vhost* vhost() noexcept { return nullptr; }
  // Descriptors that the host's data comes by. They do not change; their number is at most 32.
  [[nodiscard]] virtual std::vector<int> inputs() const { return {}; }
  // Bit n: nothing ends before inputs()[n] can be read.
  [[nodiscard]] virtual std::uint32_t AwaitedInputs() const noexcept { return 0; }
  // inputs()[n] can be read, or has an error: requests may end now.
  virtual void OnInput(std::size_t /*input*/) noexcept {}

  [[nodiscard]] virtual VirtioTraffic traffic() const noexcept = 0;
};

}  // namespace microvm
