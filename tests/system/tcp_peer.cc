// SPDX-License-Identifier: Apache-2.0
//
// tcp_peer serve PORT CONNECTIONS: takes so many connections, one after the other.
// tcp_peer ask ADDRESS PORT CONNECTIONS UP DOWN: makes so many, each of which carries UP bytes to
// the server and DOWN bytes from it.
//
// Both print what they have sent and received: connections, bytes and a sum of the bytes in their
// order.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  _exit(1);
}

// Bytes that are nowhere the same, and their sum, whatever pieces they come in.
class Stream {
 public:
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
  void Print(const char* name) const {
    std::printf("%s=%" PRIu64 ":%016" PRIx64 "\n", name, bytes_, sum_);
  }

 private:
  std::uint64_t state_ = 1;
  std::uint64_t sum_ = 0;
  std::uint64_t bytes_ = 0;
};

std::array<unsigned char, 65536> buffer;

void SendBytes(int fd, const unsigned char* bytes, std::size_t length) {
  while (length > 0) {
    const ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent <= 0) Fail("send");
    bytes += sent;
    length -= static_cast<std::size_t>(sent);
  }
}

void SendStream(int fd, Stream& stream, std::uint64_t length) {
  while (length > 0) {
    const std::size_t part = length < buffer.size() ? length : buffer.size();
    stream.Fill(buffer.data(), part);
    SendBytes(fd, buffer.data(), part);
    length -= part;
  }
}

void ReceiveStream(int fd, Stream& stream, std::uint64_t length) {
  while (length > 0) {
    const ssize_t part =
        recv(fd, buffer.data(), length < buffer.size() ? length : buffer.size(), 0);
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

struct Lengths {
  std::uint64_t up;
  std::uint64_t down;
};

void Serve(const char* port, unsigned connections) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  const sockaddr_in address = Address("0.0.0.0", port);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener, 16) != 0) {
    Fail("listen");
  }
  Stream up;
  Stream down;
  for (unsigned number = 0; number < connections; ++number) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) Fail("accept");
    Lengths lengths{};
    if (recv(fd, &lengths, sizeof(lengths), MSG_WAITALL) != sizeof(lengths)) Fail("recv");
    ReceiveStream(fd, up, lengths.up);
    SendStream(fd, down, lengths.down);
    close(fd);
  }
  std::printf("connections=%u\n", connections);
  up.Print("up");
  down.Print("down");
}

void Ask(const sockaddr_in& address, unsigned connections, const Lengths& lengths) {
  Stream up;
  Stream down;
  for (unsigned number = 0; number < connections; ++number) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      Fail("connect");
    }
    SendBytes(fd, reinterpret_cast<const unsigned char*>(&lengths), sizeof(lengths));
    SendStream(fd, up, lengths.up);
    ReceiveStream(fd, down, lengths.down);
    // The server has closed; an end that is not waited for may be a reset.
    unsigned char end = 0;
    if (recv(fd, &end, 1, 0) != 0) Fail("the end");
    close(fd);
  }
  std::printf("connections=%u\n", connections);
  up.Print("up");
  down.Print("down");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const auto number = [&](int index) { return std::strtoull(argv[index], nullptr, 10); };
  if (mode == "serve" && argc == 4) {
    Serve(argv[2], static_cast<unsigned>(number(3)));
  } else if (mode == "ask" && argc == 7) {
    Ask(Address(argv[2], argv[3]), static_cast<unsigned>(number(4)), {number(5), number(6)});
  } else {
    return 2;
  }
  return 0;
}
