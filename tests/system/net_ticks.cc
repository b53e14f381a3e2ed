// SPDX-License-Identifier: Apache-2.0
//
// net_ticks INTERFACE: in a guest, prints how many ticks of the virtual counter a frame of 1,514
// bytes takes that it sends, and one that it receives, with all that both ends do for it.
// net_ticks INTERFACE FRAMES: the other end, on the host; it sends FRAMES, as many at a time as it
// is asked for, and ends.
//
// The frames are Ethernet's alone, so that nothing but drivers and devices is measured.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// IEEE 802: for experiments.
constexpr std::uint16_t kData = 0x88b5;
constexpr std::uint16_t kRequest = 0x88b6;  // for frames, whose number it starts with

constexpr std::size_t kFrameBytes = 1514;
constexpr unsigned kFrames = 16384;
// That have been asked for and have not come: what a tap's queue has room for.
constexpr unsigned kAhead = 256;
constexpr unsigned kAtATime = 128;

using Frame = std::array<unsigned char, kFrameBytes>;

std::uint64_t Counter() {
  std::uint64_t value = 0;
  asm volatile("isb\n mrs %0, cntvct_el0" : "=r"(value)::"memory");
  return value;
}

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  _exit(1);
}

Frame MakeFrame(std::uint16_t protocol, std::uint32_t number) {
  Frame frame{};
  std::memset(frame.data(), 0xff, ETH_ALEN);  // to all
  frame[ETH_ALEN] = 2;
  const std::uint16_t type = htons(protocol);
  std::memcpy(&frame[std::size_t{2} * ETH_ALEN], &type, sizeof(type));
  std::memcpy(&frame[ETH_HLEN], &number, sizeof(number));
  return frame;
}

// Sends any frame, and receives those of a protocol.
int Open(const char* interface, std::uint16_t protocol) {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  const int room = 8 << 20;
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0 ||
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    Fail(interface);
  }
  return fd;
}

void Send(int fd, const Frame& frame) {
  if (send(fd, frame.data(), frame.size(), 0) != static_cast<ssize_t>(frame.size())) Fail("send");
}

std::uint32_t Receive(int fd) {
  Frame frame{};
  std::uint32_t number = 0;
  ssize_t length = 0;
  // What this end has sent comes, too.
  sockaddr_ll from{};
  do {
    socklen_t from_length = sizeof(from);
    length = recvfrom(fd, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from),
                      &from_length);
  } while (length > 0 && from.sll_pkttype == PACKET_OUTGOING);
  if (length != static_cast<ssize_t>(frame.size())) Fail("recv");
  std::memcpy(&number, &frame[ETH_HLEN], sizeof(number));
  return number;
}

std::uint64_t SendAll(int fd) {
  const std::uint64_t start = Counter();
  for (unsigned sent = 0; sent < kFrames; ++sent) Send(fd, MakeFrame(kData, sent));
  // The answer comes when all before it have gone.
  Send(fd, MakeFrame(kRequest, 1));
  Receive(fd);
  return (Counter() - start) / kFrames;
}

std::uint64_t ReceiveAll(int fd) {
  Send(fd, MakeFrame(kRequest, kAhead));
  Receive(fd);
  const std::uint64_t start = Counter();
  unsigned asked = kAhead;
  for (unsigned received = 1; received < kFrames; ++received) {
    if (received % kAtATime == 0 && asked < kFrames) {
      Send(fd, MakeFrame(kRequest, kAtATime));
      asked += kAtATime;
    }
    Receive(fd);
  }
  return (Counter() - start) / (kFrames - 1);
}

void Serve(int fd, unsigned frames) {
  for (unsigned sent = 0; sent < frames;) {
    for (std::uint32_t wanted = Receive(fd); wanted > 0; --wanted, ++sent) {
      Send(fd, MakeFrame(kData, sent));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3) {
    Serve(Open(argv[1], kRequest), static_cast<unsigned>(std::atoi(argv[2])));
    return 0;
  }
  if (argc != 2) return 2;
  const int fd = Open(argv[1], kData);
  std::printf("sends=%" PRIu64 "\n", SendAll(fd));
  std::printf("receives=%" PRIu64 "\n", ReceiveAll(fd));
  return 0;
}
