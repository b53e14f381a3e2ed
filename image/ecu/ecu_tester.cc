// SPDX-License-Identifier: Apache-2.0
//
// ecu_tester: the other end of the demonstration's CAN bus.
//   ecu_tester exchange INTERFACE [FRAMES]   brings the interface up, waits for the ECU, sends it
//   FRAMES requests (2000)
//                                            and checks every answer; prints the figures, fails
//                                            unless all is well
//   ecu_tester power-off INTERFACE           tells the ECU to switch its machine off
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "image/ecu/can_link.h"
#include "image/ecu/can_socket.h"
#include "image/ecu/protocol.h"

namespace ecu {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr std::uint32_t kDefaultFrames = 2000;
// Requests without an answer at one time: well below the 64 frames that the controllers' receive
// FIFOs hold.
constexpr std::uint32_t kWindow = 16;
constexpr seconds kReadyPatience{60};
constexpr seconds kAnswerPatience{10};
constexpr milliseconds kRequestPatience{5000};

// One exchange of numbered requests and answers.
class Exchange {
 public:
  Exchange(CanSocket& bus, std::uint32_t frames) : bus_(bus), requests_(frames) {}

  // False when the ECU stopped answering: what is missing then counts as lost.
  bool Run() {
    auto deadline = steady_clock::now() + kAnswerPatience;
    while (answered_ + corrupted_ < requests_.size()) {
      while (sent_ < requests_.size() && sent_ - answered_ - corrupted_ < kWindow) SendNext();
      const auto frame = bus_.Receive(milliseconds(1000));
      // A ready frame is no answer: an ECU that says so in the middle has missed a request.
      if (frame && frame->can_id != kReadyId) {
        Check(*frame);
        deadline = steady_clock::now() + kAnswerPatience;
      } else if (steady_clock::now() >= deadline) {
        return false;
      }
    }
    return true;
  }

  void Print() const {
    std::printf(
        "frames=%u lost=%zu corrupted=%u reordered=%u duplicated=%u rtt_us_p50=%lld "
        "rtt_us_max=%lld\n",
        sent_, requests_.size() - answered_ - corrupted_, corrupted_, reordered_, duplicated_,
        RoundTrip(50), RoundTrip(100));
  }

  [[nodiscard]] bool Clean() const {
    return answered_ == requests_.size() && corrupted_ == 0 && reordered_ == 0 && duplicated_ == 0;
  }

 private:
  struct Pending {
    steady_clock::time_point sent;
    microseconds round_trip{-1};  // below zero: not answered
  };

  void SendNext() {
    requests_[sent_].sent = steady_clock::now();
    if (!bus_.Send(Request(sent_), kRequestPatience)) {
      throw std::runtime_error(
          "no room in the transmit queue for 5 s: is another node on the bus?");
    }
    ++sent_;
  }

  void Check(const canfd_frame& frame) {
    const std::uint32_t sequence = Sequence(frame);
    if (sequence >= sent_ || !SameContent(frame, Answer(Request(sequence)))) {
      ++corrupted_;
      return;
    }
    Pending& pending = requests_[sequence];
    if (pending.round_trip >= microseconds(0)) {
      ++duplicated_;
      return;
    }
    pending.round_trip =
        std::chrono::duration_cast<microseconds>(steady_clock::now() - pending.sent);
    if (sequence < next_) ++reordered_;
    next_ = std::max(next_, sequence + 1);
    ++answered_;
  }

  [[nodiscard]] long long RoundTrip(std::size_t percent) const {
    std::vector<long long> times;
    for (const Pending& pending : requests_) {
      if (pending.round_trip >= microseconds(0)) times.push_back(pending.round_trip.count());
    }
    if (times.empty()) return 0;
    std::sort(times.begin(), times.end());
    return times[(times.size() - 1) * percent / 100];
  }

  CanSocket& bus_;
  std::vector<Pending> requests_;
  std::uint32_t sent_ = 0;
  std::uint32_t answered_ = 0;
  std::uint32_t corrupted_ = 0;
  std::uint32_t reordered_ = 0;
  std::uint32_t duplicated_ = 0;
  std::uint32_t next_ = 0;
};

bool WaitUntilReady(CanSocket& bus) {
  const auto deadline = steady_clock::now() + kReadyPatience;
  while (steady_clock::now() < deadline) {
    const auto frame = bus.Receive(milliseconds(1000));
    if (frame && frame->can_id == kReadyId) return true;
  }
  return false;
}

int RunExchange(const std::string& interface_name, std::uint32_t frames) {
  BringUpCanLink(interface_name, {.bitrate = kBitrate, .data_bitrate = kDataBitrate});
  CanSocket bus(interface_name);
  if (!WaitUntilReady(bus)) {
    std::printf("no ready frame from the ECU within %lld s\n",
                static_cast<long long>(kReadyPatience.count()));
    return 1;
  }
  Exchange exchange(bus, frames);
  const bool finished = exchange.Run();
  exchange.Print();
  if (!finished) {
    std::fprintf(stderr, "ecu_tester: no answer for %lld s\n",
                 static_cast<long long>(kAnswerPatience.count()));
  }
  return exchange.Clean() ? 0 : 1;
}

int RunPowerOff(const std::string& interface_name) {
  CanSocket bus(interface_name);
  if (bus.Send(EmptyFrame(kPowerOffId), kRequestPatience)) return 0;
  std::fputs("ecu_tester: no room in the transmit queue for the power-off frame\n", stderr);
  return 1;
}

int Run(const std::vector<std::string_view>& words) {
  if (words.size() == 2 && words[0] == "power-off") return RunPowerOff(std::string(words[1]));
  std::uint32_t frames = kDefaultFrames;
  bool understood = words.size() >= 2 && words.size() <= 3 && words[0] == "exchange";
  if (understood && words.size() == 3) {
    const char* const end = words[2].data() + words[2].size();
    const auto result = std::from_chars(words[2].data(), end, frames);
    understood = result.ec == std::errc{} && result.ptr == end && frames > 0;
  }
  if (understood) return RunExchange(std::string(words[1]), frames);
  std::fputs(
      "usage: ecu_tester exchange INTERFACE [FRAMES]\n       ecu_tester power-off INTERFACE\n",
      stderr);
  return 2;
}

}  // namespace
}  // namespace ecu

int main(int argc, char** argv) {
  try {
    return ecu::Run(std::vector<std::string_view>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::printf("ecu_tester: %s\n", error.what());
    return 1;
  }
}
