// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio/entropy_device.h"

#include <sys/random.h>

#include <algorithm>

namespace microvm {

std::vector<int> EntropyDevice::inputs() const {
  if (!awaited_) return {};
  return {awaited_.get()};
}

Handled EntropyDevice::Handle(std::uint16_t /*queue*/, DescriptorChain& chain) noexcept {
  ScatterList writable = chain.Writable();
  std::size_t filled = 0;
  for (const iovec& piece : writable.pieces()) {
    const std::size_t length = std::min(piece.iov_len, kRequestBytes - filled);
    if (length == 0) break;
    // That there are none is known before; that they run out is not.
    const ssize_t count = getrandom(piece.iov_base, length, GRND_NONBLOCK);
    if (count <= 0) break;
    filled += static_cast<std::size_t>(count);
    if (static_cast<std::size_t>(count) < length) break;
  }
  traffic_.bytes_read += filled;
  return {Handled::How::kDone, static_cast<std::uint32_t>(filled)};
}

}  // namespace microvm
