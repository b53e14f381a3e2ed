// SPDX-License-Identifier: Apache-2.0
#include "vmm/inspect/page_map.h"

#include <algorithm>
#include <bit>

namespace microvm {
namespace {

constexpr std::uint64_t kInPage = 0xfff;

}  // namespace

struct PageMap::Query {
  std::uint64_t start;
  std::uint64_t last;
  std::size_t limit;
  const Filter& filter;
  std::vector<std::size_t> owners;
};

void PageMap::Add(std::size_t owner, std::uint64_t start, std::uint64_t size_bytes) {
  entries_.push_back({start, start + (size_bytes - 1), owner});
}

void PageMap::Finish() {
  std::stable_sort(entries_.begin(), entries_.end(),
                   [](const Entry& a, const Entry& b) { return a.start < b.start; });
  const std::size_t leaves = std::bit_ceil(entries_.size());
  last_.assign(2 * leaves, 0);
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    last_[leaves + index] = entries_[index].last;
  }
  for (std::size_t node = leaves - 1; node > 0; --node) {
    last_[node] = std::max(last_[2 * node], last_[2 * node + 1]);
  }
}

std::vector<std::size_t> PageMap::Having(std::uint64_t start, std::uint64_t size_bytes,
                                         std::size_t limit, const Filter& filter) const {
  Query query{start, start + (size_bytes - 1), limit, filter, {}};
  if (!entries_.empty()) Search(query, 1, 0, last_.size() / 2);
  return std::move(query.owners);
}

std::vector<std::size_t> PageMap::Touching(std::uint64_t start, std::uint64_t size_bytes,
                                           std::size_t limit, const Filter& filter) const {
  // Whoever touches a page has some of its bytes.
  const std::uint64_t first = start & ~kInPage;
  return Having(first, ((start + (size_bytes - 1)) | kInPage) - first + 1, limit, filter);
}

void PageMap::Search(Query& query, std::size_t node, std::size_t begin, std::size_t end) const {
  if (begin >= entries_.size() || query.owners.size() >= query.limit) return;
  if (last_[node] < query.start || entries_[begin].start > query.last) return;
  if (end - begin == 1) {
    const std::size_t owner = entries_[begin].owner;
    if (query.filter(owner)) query.owners.push_back(owner);
    return;
  }
  const std::size_t middle = begin + (end - begin) / 2;
  Search(query, 2 * node, begin, middle);
  Search(query, 2 * node + 1, middle, end);
}

}  // namespace microvm
