// SPDX-License-Identifier: Apache-2.0
// A series of measured durations and its percentiles.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest.h"

namespace guest {

class Samples {
 public:
  static constexpr std::size_t kMaximum = 20'000;

  void Clear() { size_ = 0; }

  // Beyond the maximum, values are dropped.
  void Add(std::uint64_t ticks) {
    if (size_ < kMaximum) ticks_[size_++] = ticks;
  }

  // Sorts in place and prints one `latency name=…` line; percentiles by nearest rank. With
  // `histogram=1` on the command line also `histogram name=… TICKS:COUNT …`, where TICKS is the
  // least value of a bucket: of one value below 128, and then of 1/64 of its power of two.
  void Report(const Guest& guest, std::string_view name);

 private:
  void PrintHistogram(const Console& console, std::string_view name) const;
  [[nodiscard]] std::uint64_t PerMille(std::size_t rank) const;

  std::array<std::uint64_t, kMaximum> ticks_{};
  std::size_t size_ = 0;
};

}  // namespace guest
