// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/page_map.h"

#include <algorithm>
#include <bit>

namespace microvm {
namespace {

constexpr unsigned kPageShift = 12;

}  // namespace

struct PageMap::Query {
  std::uint64_t first_page;
  std::uint64_t last_page;
  std::size_t limit;
  std::vector<std::size_t> owners;
};

void PageMap::Add(std::size_t owner, std::uint64_t start, std::uint64_t size_bytes) {
  entries_.push_back({start >> kPageShift, (start + (size_bytes - 1)) >> kPageShift, owner});
}

void PageMap::Finish() {
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.first_page < b.first_page; });
  const std::size_t leaves = std::bit_ceil(entries_.size());
  last_page_.assign(2 * leaves, 0);
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    last_page_[leaves + index] = entries_[index].last_page;
  }
  for (std::size_t node = leaves - 1; node > 0; --node) {
    last_page_[node] = std::max(last_page_[2 * node], last_page_[2 * node + 1]);
  }
}

std::vector<std::size_t> PageMap::Touching(std::uint64_t start, std::uint64_t size_bytes,
                                           std::size_t limit) const {
  Query query{start >> kPageShift, (start + (size_bytes - 1)) >> kPageShift, limit, {}};
  if (!entries_.empty()) Search(query, 1, 0, last_page_.size() / 2);
  return std::move(query.owners);
}

void PageMap::Search(Query& query, std::size_t node, std::size_t begin, std::size_t end) const {
  if (begin >= entries_.size() || query.owners.size() >= query.limit) return;
  if (last_page_[node] < query.first_page || entries_[begin].first_page > query.last_page) return;
  if (end - begin == 1) {
    query.owners.push_back(entries_[begin].owner);
    return;
  }
  const std::size_t middle = begin + (end - begin) / 2;
  Search(query, 2 * node, begin, middle);
  Search(query, 2 * node + 1, middle, end);
}

}  // namespace microvm
