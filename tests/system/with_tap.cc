// SPDX-License-Identifier: Apache-2.0
//
// with_tap NAME FD COMMAND...: runs a command with a tap open as a descriptor.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const int tap = open("/dev/net/tun", O_RDWR);
  ifreq request{};
  std::strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (tap < 0 || ioctl(tap, TUNSETIFF, &request) != 0 || dup2(tap, std::atoi(argv[2])) < 0) {
    std::perror("with_tap");
    return 126;
  }
  close(tap);
  execvp(argv[3], argv + 3);
  std::perror(argv[3]);
  return 127;
}
