// SPDX-License-Identifier: Apache-2.0
//
// vsock_echo serve PORT CONNECTIONS: sends back what it gets, until so many connections have been
// closed by the other end with all of their bytes through. One that is reset may look like one that
// is closed, so that a stream begins with how many bytes it has.
// vsock_echo send CID PORT CONNECTIONS BYTES: makes connections, up to eight at a time, sends so
// much on each and takes it back.
// Both print what they have received, and the second what it has sent: connections, bytes, and the
// sum of the connections' checksums, which is the same in whatever order they are.
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <semaphore>
#include <thread>
#include <vector>

// Needs sys/socket.h before it.
#include <linux/vm_sockets.h>

namespace {

constexpr std::size_t kChunk = 16384;
constexpr unsigned kAtATime = 8;

[[noreturn]] void Fail(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

// Bytes of one connection in one direction, and their checksum (FNV-1a).
struct Stream {
  std::uint64_t bytes = 0;
  std::uint64_t sum = 0xcbf29ce484222325;

  void Add(const char* data, std::size_t length) {
    for (std::size_t index = 0; index < length; ++index) {
      sum = (sum ^ static_cast<unsigned char>(data[index])) * 0x100000001b3;
    }
    bytes += length;
  }
};

struct Total {
  std::atomic<std::uint64_t> connections{0};
  std::atomic<std::uint64_t> bytes{0};
  std::atomic<std::uint64_t> sum{0};

  void Add(const Stream& stream) {
    bytes += stream.bytes;
    sum += stream.sum;
    ++connections;
  }
  void Print(const char* what) const {
    std::printf("%s connections=%" PRIu64 " bytes=%" PRIu64 " sum=%016" PRIx64 "\n", what,
                connections.load(), bytes.load(), sum.load());
  }
};

int Socket(int type = SOCK_STREAM) {
  const int fd = ::socket(AF_VSOCK, type | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail("socket");
  // Two seconds by default, which a busy machine's emulator may take.
  const timeval patience{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &patience, sizeof(patience));
  return fd;
}

sockaddr_vm Address(unsigned cid, unsigned port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid;
  address.svm_port = port;
  return address;
}

// What the other end sends goes back to it; true if that was all it had, and the connection is
// closed.
bool Echo(int fd, Stream& received) {
  std::array<char, kChunk> data;
  std::uint64_t announced = 0;
  while (true) {
    const ssize_t length = ::read(fd, data.data(), data.size());
    if (length <= 0) return length == 0 && received.bytes == announced;
    for (std::size_t at = 0;
         at < static_cast<std::size_t>(length) && received.bytes + at < sizeof(announced); ++at) {
      reinterpret_cast<char*>(&announced)[received.bytes + at] = data[at];
    }
    received.Add(data.data(), static_cast<std::size_t>(length));
    for (ssize_t sent = 0; sent < length;) {
      const ssize_t count =
          ::send(fd, data.data() + sent, static_cast<std::size_t>(length - sent), MSG_NOSIGNAL);
      if (count < 0) return false;
      sent += count;
    }
  }
}

void Serve(unsigned port, std::uint64_t connections) {
  const int listener = Socket();
  const sockaddr_vm address = Address(VMADDR_CID_ANY, port);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    Fail("bind");
  }
  if (::listen(listener, 128) != 0) Fail("listen");
  std::puts("serving");
  std::fflush(stdout);
  static Total total;
  static std::counting_semaphore<> ended(0);
  std::thread([listener] {
    while (true) {
      const int fd = ::accept(listener, nullptr, nullptr);
      if (fd < 0) Fail("accept");
      std::thread([fd] {
        Stream received;
        if (Echo(fd, received)) {
          total.Add(received);
          ended.release();
        }
        ::close(fd);
      }).detach();
    }
  }).detach();
  for (std::uint64_t count = 0; count < connections; ++count) ended.acquire();
  total.Print("served");
  std::fflush(stdout);
  // The other end waits for the last of them to be closed.
  ::usleep(200'000);
  std::_Exit(0);
}

// The next bytes of a stream.
void Fill(std::array<char, kChunk>& data, std::uint64_t& state) {
  for (std::size_t index = 0; index < data.size(); index += sizeof(state)) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    std::memcpy(&data[index], &state, sizeof(state));
  }
}

void Exchange(int fd, std::uint64_t seed, std::uint64_t bytes, Stream& sent, Stream& received) {
  std::array<char, kChunk> out;
  std::array<char, kChunk> in;
  std::size_t filled = 0;
  std::size_t done = 0;
  std::uint64_t state = seed;
  while (received.bytes < bytes) {
    if (done == filled && sent.bytes < bytes) {
      Fill(out, state);
      if (sent.bytes == 0) std::memcpy(out.data(), &bytes, sizeof(bytes));
      filled = std::min<std::uint64_t>(kChunk, bytes - sent.bytes);
      done = 0;
    }
    pollfd ready{fd, static_cast<short>(POLLIN | (done < filled ? POLLOUT : 0)), 0};
    if (::poll(&ready, 1, -1) < 0) Fail("poll");
    if ((ready.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      const ssize_t count = ::read(fd, in.data(), in.size());
      if (count == 0) errno = ECONNRESET;
      if (count <= 0) Fail("read");
      received.Add(in.data(), static_cast<std::size_t>(count));
    }
    if ((ready.revents & POLLOUT) == 0) continue;
    const ssize_t count = ::send(fd, &out[done], filled - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN) Fail("send");
    if (count <= 0) continue;
    sent.Add(&out[done], static_cast<std::size_t>(count));
    done += static_cast<std::size_t>(count);
  }
}

void Send(unsigned cid, unsigned port, std::uint64_t connections, std::uint64_t bytes) {
  static Total sent;
  static Total received;
  std::atomic<std::uint64_t> next{0};
  std::vector<std::thread> threads;
  for (unsigned index = 0; index < std::min<std::uint64_t>(kAtATime, connections); ++index) {
    threads.emplace_back([&] {
      for (std::uint64_t number = next++; number < connections; number = next++) {
        const int fd = Socket();
        const sockaddr_vm address = Address(cid, port);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
          Fail("connect");
        }
        Stream out;
        Stream in;
        // Different from connection to connection, and from end to end.
        Exchange(fd, std::uint64_t{cid} << 32 | number, bytes, out, in);
        // The other end closes once it has counted the connection.
        ::shutdown(fd, SHUT_WR);
        if (char more = 0; ::read(fd, &more, 1) != 0) Fail("the end of a connection");
        ::close(fd);
        sent.Add(out);
        received.Add(in);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  sent.Print("sent");
  received.Print("received");
}

unsigned long Number(const char* text) { return std::strtoul(text, nullptr, 10); }

}  // namespace

int main(int count, char** arguments) {
  if (count == 4 && std::strcmp(arguments[1], "serve") == 0) {
    Serve(static_cast<unsigned>(Number(arguments[2])), Number(arguments[3]));
  } else if (count == 6 && std::strcmp(arguments[1], "send") == 0) {
    Send(static_cast<unsigned>(Number(arguments[2])), static_cast<unsigned>(Number(arguments[3])),
         Number(arguments[4]), Number(arguments[5]));
  } else {
    std::fputs("usage: vsock_echo serve PORT CONNECTIONS | send CID PORT CONNECTIONS BYTES\n",
               stderr);
    return 2;
  }
  return 0;
}
