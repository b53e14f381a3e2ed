// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/net_config.h"

#include <algorithm>
#include <optional>

#include "vmm/config/toml_reader.h"

namespace microvm {
namespace {

using Mac = std::array<std::uint8_t, 6>;

// One thread serves them all: more only spare the guest's CPUs waiting for each other.
constexpr std::int64_t kMaximumPairs = 8;
// Passed descriptors: what comes before is standard input, output and error.
constexpr int kFirstPassedFd = 3;
constexpr int kLastPassedFd = 1023;
// linux/if.h: IFNAMSIZ, with its NUL.
constexpr std::size_t kMaximumName = 15;
// IEEE 802: of the first octet.
constexpr unsigned kMulticast = 1;
constexpr unsigned kLocallyAdministered = 2;

// As Linux has it (net/core/dev.c, dev_valid_name); with '%' it would choose the name itself.
bool IsInterfaceName(std::string_view name) {
  return !name.empty() && name.size() <= kMaximumName && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return c > ' ' && c <= '~' && c != '/' && c != ':' && c != '%' && c != '"' && c != '\\';
         });
}

std::optional<unsigned> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

std::optional<Mac> ParseMac(std::string_view text) {
  Mac mac{};
  if (text.size() != 3 * mac.size() - 1) return std::nullopt;
  for (std::size_t octet = 0; octet < mac.size(); ++octet) {
    const auto high = HexDigit(text[3 * octet]);
    const auto low = HexDigit(text[3 * octet + 1]);
    if (!high || !low || (octet > 0 && text[3 * octet - 1] != ':')) return std::nullopt;
    mac[octet] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  return mac;
}

Mac ReadMac(TomlReader& reader, std::string_view machine, std::size_t index) {
  const auto text = reader.String("mac");
  if (!text) return DefaultMac(machine, index);
  const auto mac = ParseMac(*text);
  if (!mac) {
    reader.Report("mac", R"(must be six octets such as "52:54:00:12:34:56")");
  } else if ((mac->front() & kMulticast) != 0) {
    reader.Report("mac", "is an address of many (its first octet is odd), not of one interface");
  } else if (*mac == Mac{}) {
    reader.Report("mac", "is no address; leave it out for one of the machine's own");
  }
  return mac.value_or(Mac{});
}

void ReadTap(TomlReader& reader, NetConfig& net, std::set<int>& fds) {
  for (const std::int64_t number : reader.IntegerOrList("tap_fd", kFirstPassedFd, kLastPassedFd)) {
    net.tap_fds.push_back(static_cast<int>(number));
    if (!fds.insert(net.tap_fds.back()).second) {
      reader.Report("tap_fd", "the same descriptor twice");
    }
  }
  const auto name = reader.String("tap");
  net.tap = name.value_or("");
  if (name && !IsInterfaceName(*name)) {
    reader.Report("tap", "must be the name of an interface: up to 15 characters, no spaces");
  }
  if (reader.Has("tap") && reader.Has("tap_fd")) {
    reader.Report("tap_fd", "is for a tap that somebody else has opened: leave out one of the two");
  } else if (!reader.Has("tap") && !reader.Has("tap_fd")) {
    reader.Report("tap", "missing: the name of a tap (or 'tap_fd', one that is open)");
  }
}

NetConfig ReadNet(TomlReader& reader, std::string_view machine, std::size_t index,
                  std::set<int>& fds) {
  NetConfig net;
  ReadTap(reader, net, fds);
  net.mac = ReadMac(reader, machine, index);
  const auto queues = reader.Integer("queues", 1, kMaximumPairs);
  net.queues = static_cast<std::uint16_t>(
      queues.value_or(std::clamp<std::int64_t>(std::ssize(net.tap_fds), 1, kMaximumPairs)));
  if (!net.tap_fds.empty() && net.tap_fds.size() != net.queues) {
    reader.Report("tap_fd", "must have one descriptor for each of the " +
                                std::to_string(net.queues) + " queues");
  }
  net.vhost = reader.Bool("vhost").value_or(false);
  if (net.vhost && net.queues > 1) {
    reader.Report("vhost", "is for queues = 1: the host's kernel carries one pair");
  }
  reader.Finish();
  return net;
}

}  // namespace

std::vector<NetConfig> ReadNets(TomlReader& config, std::string_view name, std::set<int>& fds) {
  std::vector<NetConfig> nets;
  for (TomlReader& reader : config.Tables("net")) {
    const NetConfig net = ReadNet(reader, name, nets.size(), fds);
    for (const NetConfig& before : nets) {
      if (!net.tap.empty() && before.tap == net.tap) reader.Report("tap", "the same tap twice");
      if (net.mac != Mac{} && before.mac == net.mac) reader.Report("mac", "the same address twice");
    }
    nets.push_back(net);
  }
  return nets;
}

Mac DefaultMac(std::string_view machine, std::size_t index) {
  // FNV-1a (RFC 9923), which is the same everywhere; two names have the same of its 46 bits only by
  // bad luck.
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  const auto add = [&](std::uint8_t octet) { hash = (hash ^ octet) * 0x100'0000'01b3; };
  for (const char c : machine) add(static_cast<std::uint8_t>(c));
  add(0);
  add(static_cast<std::uint8_t>(index));
  Mac mac{};
  for (std::size_t octet = 0; octet < mac.size(); ++octet) {
    mac[octet] = static_cast<std::uint8_t>(hash >> (8 * octet));
  }
  mac[0] = static_cast<std::uint8_t>((mac[0] | kLocallyAdministered) & ~kMulticast);
  return mac;
}

std::string ToString(const Mac& mac) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t octet : mac) {
    if (!text.empty()) text += ':';
    text += kDigits[octet >> 4];
    text += kDigits[octet & 15];
  }
  return text;
}

}  // namespace microvm
