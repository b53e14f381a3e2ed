// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/can.h>

#include <chrono>
#include <optional>
#include <string>

namespace ecu {

// A raw CAN FD socket on one interface. Its own frames are not seen on it. Errors other than a full
// transmit queue and a time-out are thrown as std::system_error.
class CanSocket {
 public:
  explicit CanSocket(const std::string& interface_name);
  CanSocket(const CanSocket&) = delete;
  CanSocket& operator=(const CanSocket&) = delete;
  CanSocket(CanSocket&&) = delete;
  CanSocket& operator=(CanSocket&&) = delete;
  ~CanSocket();

  // False: the interface's transmit queue is full; nothing was queued.
  [[nodiscard]] bool TrySend(const canfd_frame& frame);

  // Waits for room in the transmit queue, at most `patience`; false when there was none.
  [[nodiscard]] bool Send(const canfd_frame& frame, std::chrono::milliseconds patience);

  // The next CAN FD frame; classic frames are passed over. Nothing when none arrives within
  // `patience`.
  [[nodiscard]] std::optional<canfd_frame> Receive(std::chrono::milliseconds patience);

 private:
  int fd_;
};

}  // namespace ecu
