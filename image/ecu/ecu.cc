// SPDX-License-Identifier: Apache-2.0
//
// ecu INTERFACE: the demonstration's electronic control unit. It brings its CAN FD interface up and
// answers every frame, as protocol.h says. On the power-off frame it switches its machine off; with
// --stay, it just ends.
#include <sys/reboot.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string_view>

#include "image/ecu/can_link.h"
#include "image/ecu/can_socket.h"
#include "image/ecu/protocol.h"

namespace ecu {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kReadyPeriod{100};
constexpr milliseconds kIdleReadyPeriod{5000};
constexpr milliseconds kSendPatience{5000};

// Serves until the power-off frame. Returns how many frames were answered.
unsigned long Serve(CanSocket& bus) {
  unsigned long answered = 0;
  while (true) {
    const auto frame = bus.Receive(answered == 0 ? kReadyPeriod : kIdleReadyPeriod);
    if (!frame) {
      // Nobody may be listening yet: then the frames stay queued, and the next round finds no room.
      static_cast<void>(bus.TrySend(EmptyFrame(kReadyId)));
      continue;
    }
    if (frame->can_id == kPowerOffId) return answered;
    if (!bus.Send(Answer(*frame), kSendPatience)) {
      std::fprintf(stderr, "ecu: no room to send the answer to frame %u\n", Sequence(*frame));
      continue;
    }
    ++answered;
  }
}

int Run(const char* interface_name, bool stay) {
  BringUpCanLink(interface_name, {.bitrate = kBitrate, .data_bitrate = kDataBitrate});
  CanSocket bus(interface_name);
  std::printf("ecu: ready on %s, %u/%u bit/s\n", interface_name, kBitrate, kDataBitrate);
  std::fflush(stdout);
  const unsigned long answered = Serve(bus);
  std::printf("ecu: %lu frames answered; power off\n", answered);
  std::fflush(stdout);
  if (stay) return 0;
  ::sync();
  ::reboot(RB_POWER_OFF);
  std::perror("ecu: power off");
  return 1;
}

}  // namespace
}  // namespace ecu

int main(int argc, char** argv) {
  const bool stay = argc == 3 && std::string_view(argv[2]) == "--stay";
  if (argc != 2 && !stay) {
    std::fputs("usage: ecu INTERFACE [--stay]\n", stderr);
    return 2;
  }
  try {
    return ecu::Run(argv[1], stay);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ecu: %s\n", error.what());
    return 1;
  }
}
