// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "tests/fakes/fake_host.h"

namespace microvm::fakes {

// Where a Board's guest has its RAM and its virtio devices, and a driver its queue.
inline constexpr std::uint64_t kRamStart = 0x4000'0000;
inline constexpr std::uint64_t kFirstDevice = 0x1400'0000;
inline constexpr std::uint64_t kQueue = 0x40'0000;  // offset in RAM; its parts are a page apart

// A driver that finds the device at `base` and starts one of its queues, of 8 entries.
inline std::vector<VcpuExit> StartVirtio(std::uint64_t base, std::uint64_t queue = 0) {
  std::vector<VcpuExit> script;
  const auto write = [&](std::uint64_t offset, std::uint64_t value) {
    script.push_back(MmioWrite(base + offset, 4, value));
  };
  for (const std::uint64_t status : {0U, 1U, 3U}) write(0x70, status);
  write(0x24, 1);
  write(0x20, 1);  // VIRTIO_F_VERSION_1
  write(0x70, 11);
  write(0x30, queue);
  write(0x38, 8);
  write(0x80, kRamStart + kQueue);
  write(0x90, kRamStart + kQueue + 0x1000);
  write(0xa0, kRamStart + kQueue + 0x2000);
  write(0x44, 1);
  write(0x70, 15);
  return script;
}

}  // namespace microvm::fakes
