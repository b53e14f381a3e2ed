// SPDX-License-Identifier: Apache-2.0
// A series of measured durations and its percentiles.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "console.h"

namespace guest {

class Samples {
 public:
  static constexpr std::size_t kMaximum = 20'000;

  void Clear() { size_ = 0; }

  // Beyond the maximum, values are dropped.
  void Add(std::uint64_t ticks) {
    if (size_ < kMaximum) ticks_[size_++] = ticks;
  }

  // Sorts in place and prints one `latency name=…` line; percentiles by nearest rank.
  void Report(const Console& console, std::string_view name);

 private:
  [[nodiscard]] std::uint64_t PerMille(std::size_t rank) const;

  std::array<std::uint64_t, kMaximum> ticks_{};
  std::size_t size_ = 0;
};

}  // namespace guest
