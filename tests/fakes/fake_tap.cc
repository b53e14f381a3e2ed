// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_tap.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

namespace microvm::fakes {

// As drivers/net/tun.c of Linux 6.12: nothing but TUNSETIFF before there is an interface.
long FakeTap::Ioctl(unsigned long request, void* argument) {
  if (request == TUNSETIFF) {
    const auto flags = CopyIn<ifreq>(argument).ifr_flags;
    if (is_interface_ || (flags & IFF_TAP) == 0) return -EINVAL;
    is_interface_ = true;
    return 0;
  }
  if (!is_interface_) return -EBADFD;
  switch (request) {
    case TUNSETVNETHDRSZ:
      return CopyIn<int>(argument) >= 10 ? 0 : -EINVAL;
    case TUNSETOFFLOAD:
    case TUNSETQUEUE:
      return 0;
    default:
      return -ENOTTY;
  }
}

}  // namespace microvm::fakes
