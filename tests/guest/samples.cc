// SPDX-License-Identifier: Apache-2.0
#include "samples.h"

#include <algorithm>

namespace guest {

std::uint64_t Samples::PerMille(std::size_t rank) const {
  const std::size_t position = (size_ * rank + 999) / 1000;
  return ticks_[position == 0 ? 0 : position - 1];
}

void Samples::Report(const Console& console, std::string_view name) {
  if (size_ == 0) return;
  std::sort(ticks_.begin(), ticks_.begin() + size_);
  console.Line("latency name=", name, " p50=", PerMille(500), " p90=", PerMille(900),
               " p99=", PerMille(990), " p99_9=", PerMille(999), " max=", ticks_[size_ - 1],
               " min=", ticks_[0], " samples=", size_, " unit=ticks");
}

}  // namespace guest
