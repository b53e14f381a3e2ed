// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/closest_word.h"

#include <algorithm>
#include <numeric>

namespace microvm {
namespace {

// How many letters must be put in, left out or replaced to make one word of the other.
std::size_t Mistakes(std::string_view one, std::string_view other) {
  std::vector<std::size_t> row(other.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (const char letter : one) {
    std::size_t diagonal = row[0]++;
    for (std::size_t at = 0; at < other.size(); ++at) {
      const std::size_t replaced = diagonal + (letter == other[at] ? 0 : 1);
      diagonal = row[at + 1];
      row[at + 1] = std::min({replaced, diagonal + 1, row[at] + 1});
    }
  }
  return row[other.size()];
}

}  // namespace

std::string ClosestWord(std::string_view word, const std::vector<std::string>& known) {
  constexpr std::size_t kMostMistakes = 2;
  const auto closest =
      std::min_element(known.begin(), known.end(), [&](const auto& one, const auto& other) {
        return Mistakes(word, one) < Mistakes(word, other);
      });
  if (closest == known.end()) return {};
  const std::size_t mistakes = Mistakes(word, *closest);
  return mistakes <= kMostMistakes && 2 * mistakes <= word.size() ? *closest : std::string();
}

}  // namespace microvm
