// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace microvm {

// What is remembered of one level interrupt between looks at it: whether it is worth another look.
// Pure. A line that interrupts is well. One whose count stands still may be masked for good, and is
// probed; one that was found unmasked is well until it interrupts again, as nothing else masks it.
class QuietLine {
 public:
  // At each look, with the host's count of the line: whether it should be probed now.
  [[nodiscard]] bool ShouldProbe(std::optional<std::uint64_t> count) {
    if (!count) return false;  // the host does not tell it from others
    if (count != count_) {
      count_ = count;
      is_well_ = false;
      patience_ = 1;
      wait_ = 0;
      return false;
    }
    if (is_well_) return false;
    if (wait_ == 0) return true;
    --wait_;
    return false;
  }

  void FoundUnmasked() { is_well_ = true; }
  // Masked because the guest has not done with it: the longer that takes, the rarer it is probed.
  void FoundInHand() {
    wait_ = patience_;
    patience_ = std::min(2 * patience_, kMaximumPatience);
  }

  [[nodiscard]] std::optional<std::uint64_t> count() const { return count_; }

 private:
  static constexpr unsigned kMaximumPatience = 64;

  std::optional<std::uint64_t> count_;
  bool is_well_ = false;
  unsigned patience_ = 1;  // looks to leave out, the next time
  unsigned wait_ = 0;      // looks to leave out
};

}  // namespace microvm
