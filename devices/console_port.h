// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace microvm {

// What a device that is a guest's console, a UART or a virtio console, has for the host's end of
// it. Neither call blocks; one thread at a time, the event loop's.
class ConsolePort {
 public:
  ConsolePort() = default;
  ConsolePort(const ConsolePort&) = delete;
  ConsolePort& operator=(const ConsolePort&) = delete;
  ConsolePort(ConsolePort&&) = delete;
  ConsolePort& operator=(ConsolePort&&) = delete;
  virtual ~ConsolePort() = default;

  // Moves bytes that the guest has sent into `out`; returns how many. Call again when it fills
  // `out`; after fewer, ConsoleHost::TransmitReady comes with the next byte.
  virtual std::size_t TakeTransmitted(std::span<std::uint8_t> out) noexcept = 0;
  // Offers input to the guest; returns how many bytes it took. After fewer than all,
  // ConsoleHost::ReceiveReady comes when there is room again.
  virtual std::size_t Receive(std::span<const std::uint8_t> in) noexcept = 0;
};

// Told by a ConsolePort, on any thread and with its lock held, that there is something to do at the
// host's end: TakeTransmitted will give bytes, or Receive will take some again. Must not call back.
class ConsoleHost {
 public:
  ConsoleHost() = default;
  ConsoleHost(const ConsoleHost&) = delete;
  ConsoleHost& operator=(const ConsoleHost&) = delete;
  ConsoleHost(ConsoleHost&&) = delete;
  ConsoleHost& operator=(ConsoleHost&&) = delete;
  virtual ~ConsoleHost() = default;

  virtual void TransmitReady() noexcept = 0;
  virtual void ReceiveReady() noexcept = 0;
};

}  // namespace microvm
