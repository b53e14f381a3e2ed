// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace ecu {

struct CanTiming {
  std::uint32_t bitrate = 0;
  std::uint32_t data_bitrate = 0;
};

// Sets the bit rates of a CAN FD interface and brings it up, as "ip link set NAME up type can
// bitrate B dbitrate D fd on" does, without a program for it. The rates can be set only while the
// interface is down, so it is taken down first. Throws std::system_error; the kernel's reason (no
// such rate, no such interface) is in its message.
void BringUpCanLink(const std::string& interface_name, const CanTiming& timing);

}  // namespace ecu
