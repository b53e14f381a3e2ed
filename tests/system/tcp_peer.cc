// SPDX-License-Identifier: Apache-2.0
//
// tcp_peer serve PORT CONNECTIONS: takes so many connections, one after the other.
// tcp_peer ask ADDRESS PORT CONNECTIONS UP DOWN: makes so many, up to eight at a time, each of
// which carries UP bytes to the server and DOWN bytes from it.
//
// Both print what they have sent and received: connections, bytes and the sum of the connections'
// checksums, which is the same in whatever order they are.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr unsigned kAtATime = 8;

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  _exit(1);
}

// What a connection begins with.
struct Plan {
  std::uint64_t number;
  std::uint64_t up;
  std::uint64_t down;
};

// Bytes of a connection in one direction, nowhere the same, and their checksum, whatever pieces
// they come in.
class Stream {
 public:
  explicit Stream(std::uint64_t seed) : state_(seed) {}

  void Fill(unsigned char* bytes, std::size_t length) {
    for (std::size_t at = 0; at < length; ++at) {
      state_ = state_ * 6364136223846793005U + 1442695040888963407U;
      bytes[at] = static_cast<unsigned char>(state_ >> 56);
    }
    Add(bytes, length);
  }
  void Add(const unsigned char* bytes, std::size_t length) {
    for (std::size_t at = 0; at < length; ++at) sum_ = std::rotl(sum_, 5) * 31 + bytes[at];
    bytes_ += length;
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t sum() const { return sum_; }

 private:
  std::uint64_t state_;
  std::uint64_t sum_ = 0;
  std::uint64_t bytes_ = 0;
};

struct Exchange {
  Stream up;
  Stream down;
  // Either end's are different from connection to connection.
  explicit Exchange(std::uint64_t number) : up(2 * number), down(2 * number + 1) {}
};

class Total {
 public:
  void Add(const Exchange& exchange) {
    const std::scoped_lock lock(mutex_);
    ++connections_;
    up_.Add(exchange.up);
    down_.Add(exchange.down);
  }
  void Print() const {
    std::printf("connections=%u\n", connections_);
    std::printf("up=%" PRIu64 ":%016" PRIx64 "\n", up_.bytes, up_.sum);
    std::printf("down=%" PRIu64 ":%016" PRIx64 "\n", down_.bytes, down_.sum);
  }

 private:
  struct Direction {
    std::uint64_t bytes = 0;
    std::uint64_t sum = 0;

    void Add(const Stream& stream) {
      bytes += stream.bytes();
      sum += stream.sum();
    }
  };

  std::mutex mutex_;
  unsigned connections_ = 0;
  Direction up_;
  Direction down_;
};

thread_local std::array<unsigned char, 65536> buffer;

void SendBytes(int fd, const unsigned char* bytes, std::size_t length, int flags = 0) {
  while (length > 0) {
    const ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL | flags);
    if (sent <= 0) Fail("send");
    bytes += sent;
    length -= static_cast<std::size_t>(sent);
  }
}

void SendStream(int fd, Stream& stream, std::uint64_t length) {
  while (length > 0) {
    const std::size_t part = std::min<std::uint64_t>(length, buffer.size());
    stream.Fill(buffer.data(), part);
    SendBytes(fd, buffer.data(), part);
    length -= part;
  }
}

void ReceiveStream(int fd, Stream& stream, std::uint64_t length) {
  while (length > 0) {
    const ssize_t part = recv(fd, buffer.data(), std::min<std::uint64_t>(length, buffer.size()), 0);
    if (part <= 0) Fail("recv");
    stream.Add(buffer.data(), static_cast<std::size_t>(part));
    length -= static_cast<std::uint64_t>(part);
  }
}

sockaddr_in Address(const char* address, const char* port) {
  sockaddr_in socket_address{};
  socket_address.sin_family = AF_INET;
  socket_address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  socket_address.sin_addr.s_addr = inet_addr(address);
  return socket_address;
}

void Serve(const char* port, unsigned connections) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  const sockaddr_in address = Address("0.0.0.0", port);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener, 2 * kAtATime) != 0) {
    Fail("listen");
  }
  Total total;
  for (unsigned count = 0; count < connections; ++count) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) Fail("accept");
    Plan plan{};
    if (recv(fd, &plan, sizeof(plan), MSG_WAITALL) != sizeof(plan)) Fail("recv");
    Exchange exchange(plan.number);
    ReceiveStream(fd, exchange.up, plan.up);
    SendStream(fd, exchange.down, plan.down);
    close(fd);
    total.Add(exchange);
  }
  total.Print();
}

Exchange AskOnce(const sockaddr_in& address, const Plan& plan) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    Fail("connect");
  }
  // In one packet with what follows, if there is room.
  SendBytes(fd, reinterpret_cast<const unsigned char*>(&plan), sizeof(plan), MSG_MORE);
  Exchange exchange(plan.number);
  SendStream(fd, exchange.up, plan.up);
  ReceiveStream(fd, exchange.down, plan.down);
  // The server has closed; an end that is not waited for may be a reset.
  unsigned char end = 0;
  if (recv(fd, &end, 1, 0) != 0) Fail("the end");
  close(fd);
  return exchange;
}

void Ask(const sockaddr_in& address, unsigned connections, std::uint64_t up, std::uint64_t down) {
  Total total;
  std::atomic<unsigned> next{0};
  std::vector<std::jthread> threads;
  for (unsigned index = 0; index < std::min(kAtATime, connections); ++index) {
    threads.emplace_back([&] {
      for (unsigned number = next++; number < connections; number = next++) {
        total.Add(AskOnce(address, {number, up, down}));
      }
    });
  }
  threads.clear();
  total.Print();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const auto number = [&](int index) { return std::strtoull(argv[index], nullptr, 10); };
  if (mode == "serve" && argc == 4) {
    Serve(argv[2], static_cast<unsigned>(number(3)));
  } else if (mode == "ask" && argc == 7) {
    Ask(Address(argv[2], argv[3]), static_cast<unsigned>(number(4)), number(5), number(6));
  } else {
    return 2;
  }
  return 0;
}
