// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace microvm {

// Who lives at which addresses, and in which 4 KiB pages: filled, then asked. Pure.
class PageMap {
 public:
  // `owner` has these bytes, of which there is at least one; they do not wrap.
  void Add(std::size_t owner, std::uint64_t start, std::uint64_t size_bytes);
  // Call once when all are added.
  void Finish();

  // Whether an owner is asked for.
  using Filter = std::function<bool(std::size_t)>;

  // Those owners, at most `limit`, of any of these bytes; by address, each once for each of its
  // regions. Takes time in the number of those that have some, and the logarithm of the whole.
  [[nodiscard]] std::vector<std::size_t> Having(std::uint64_t start, std::uint64_t size_bytes,
                                                std::size_t limit, const Filter& filter) const;
  // The same of those who touch a page which these bytes touch.
  [[nodiscard]] std::vector<std::size_t> Touching(std::uint64_t start, std::uint64_t size_bytes,
                                                  std::size_t limit, const Filter& filter) const;

 private:
  struct Entry {
    std::uint64_t start;
    std::uint64_t last;
    std::size_t owner;
  };
  struct Query;

  void Search(Query& query, std::size_t node, std::size_t begin, std::size_t end) const;

  std::vector<Entry> entries_;       // sorted by start
  std::vector<std::uint64_t> last_;  // a segment tree: the largest last byte of each part
};

}  // namespace microvm
