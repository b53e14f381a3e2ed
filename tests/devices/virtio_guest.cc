// SPDX-License-Identifier: Apache-2.0
#include "tests/devices/virtio_guest.h"

#include <unistd.h>

namespace microvm::fakes {

std::uint64_t VirtioGuest::Take(const Fd& eventfd) {
  std::uint64_t count = 0;
  return ::read(eventfd.get(), &count, sizeof(count)) > 0 ? count : 0;
}

}  // namespace microvm::fakes
