// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace microvm {

class TomlReader;

// A network interface of the guest's: a virtio network device over a tap.
struct NetConfig {
  std::string tap;                // its name; empty: it comes as descriptors
  std::vector<int> tap_fds = {};  // one for each of the queues, from whoever started the program
  std::array<std::uint8_t, 6> mac = {};
  std::uint16_t queues = 1;  // pairs, 1 to 8
  bool vhost = false;        // the host's kernel carries the packets
};

// The [[net]] tables of the machine `name`; `fds` are descriptors that are taken.
std::vector<NetConfig> ReadNets(TomlReader& config, std::string_view name, std::set<int>& fds);

// The address of a machine's network interface that was given none: locally administered, and the
// same each time. Pure.
std::array<std::uint8_t, 6> DefaultMac(std::string_view machine, std::size_t index);

// "52:54:00:12:34:56".
std::string ToString(const std::array<std::uint8_t, 6>& mac);

}  // namespace microvm
