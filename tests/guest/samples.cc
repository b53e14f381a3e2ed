// SPDX-License-Identifier: Apache-2.0
#include "samples.h"

#include <algorithm>
#include <bit>

namespace guest {
namespace {

std::uint64_t BucketOf(std::uint64_t ticks) {
  constexpr unsigned kPrecision = 6;
  const auto width = static_cast<unsigned>(std::bit_width(ticks));
  if (width <= kPrecision + 1) return ticks;
  return ticks >> (width - kPrecision - 1) << (width - kPrecision - 1);
}

}  // namespace

std::uint64_t Samples::PerMille(std::size_t rank) const {
  const std::size_t position = (size_ * rank + 999) / 1000;
  return ticks_[position == 0 ? 0 : position - 1];
}

void Samples::Report(const Guest& guest, std::string_view name) {
  if (size_ == 0) return;
  const Console& console = guest.console();
  std::sort(ticks_.begin(), ticks_.begin() + size_);
  console.Line("latency name=", name, " p50=", PerMille(500), " p90=", PerMille(900),
               " p99=", PerMille(990), " p99_9=", PerMille(999), " max=", ticks_[size_ - 1],
               " min=", ticks_[0], " samples=", size_, " unit=ticks");
  if (guest.Number("histogram", 0) != 0) PrintHistogram(console, name);
}

void Samples::PrintHistogram(const Console& console, std::string_view name) const {
  console.Print("histogram name=", name);
  for (std::size_t at = 0; at < size_;) {
    const std::uint64_t bucket = BucketOf(ticks_[at]);
    const std::size_t first = at;
    while (at < size_ && BucketOf(ticks_[at]) == bucket) ++at;
    console.Print(" ", bucket, ":", at - first);
  }
  console.Line("");
}

}  // namespace guest
