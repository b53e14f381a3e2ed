// SPDX-License-Identifier: Apache-2.0
//
// What the demonstration ECU and its tester say to each other on the CAN bus. All frames are CAN FD
// frames of 64 bytes with bit-rate switch.
//
//   0x700  ECU -> tester  ready: every 100 ms until the first request, then after 5 s of silence
//   0x120  tester -> ECU  request: bytes 0..3 sequence number (little endian), then any pattern
//   0x121  ECU -> tester  answer (identifier + 1): sequence number kept, other bytes inverted
//   0x7f0  tester -> ECU  power off: not answered
#pragma once

#include <linux/can.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ecu {

inline constexpr std::uint32_t kReadyId = 0x700;
inline constexpr std::uint32_t kRequestId = 0x120;
inline constexpr std::uint32_t kPowerOffId = 0x7f0;
inline constexpr std::uint32_t kAnswerOffset = 1;

inline constexpr std::uint32_t kBitrate = 500'000;
inline constexpr std::uint32_t kDataBitrate = 2'000'000;

inline canfd_frame EmptyFrame(std::uint32_t id) {
  canfd_frame frame{};
  frame.can_id = id;
  frame.len = CANFD_MAX_DLEN;
  frame.flags = CANFD_BRS;
  return frame;
}

inline std::uint32_t Sequence(const canfd_frame& frame) {
  std::uint32_t sequence = 0;
  for (std::size_t i = 0; i < sizeof sequence; ++i) {
    sequence |= std::uint32_t{frame.data[i]} << (8 * i);
  }
  return sequence;
}

// The pattern is different in every byte of every frame, so that a byte of another frame is
// noticed.
inline canfd_frame Request(std::uint32_t sequence) {
  canfd_frame frame = EmptyFrame(kRequestId);
  std::uint32_t state = sequence * 2'654'435'761U + 1;
  for (std::size_t i = 0; i < CANFD_MAX_DLEN; ++i) {
    if (i < sizeof sequence) {
      frame.data[i] = static_cast<std::uint8_t>(sequence >> (8 * i));
    } else {
      state = state * 1'664'525U + 1'013'904'223U;
      frame.data[i] = static_cast<std::uint8_t>(state >> 24);
    }
  }
  return frame;
}

inline canfd_frame Answer(const canfd_frame& request) {
  canfd_frame answer = request;
  answer.can_id = request.can_id + kAnswerOffset;
  answer.flags = CANFD_BRS;
  for (std::size_t i = sizeof(std::uint32_t); i < answer.len; ++i) {
    answer.data[i] = static_cast<std::uint8_t>(request.data[i] ^ 0xff);
  }
  return answer;
}

// Does `frame` say exactly what `expected` says? The flags do not count: Linux's xilinx_can sets
// the bit-rate switch of the frames that it sends, but does not report that of the frames that it
// receives.
inline bool SameContent(const canfd_frame& frame, const canfd_frame& expected) {
  return frame.can_id == expected.can_id && frame.len == expected.len &&
         std::memcmp(frame.data, expected.data, expected.len) == 0;
}

}  // namespace ecu
