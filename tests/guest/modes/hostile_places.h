// SPDX-License-Identifier: Apache-2.0
// Where a guest has no business.
#pragma once

#include <cstdint>

#include "../board.h"
#include "../bounded_list.h"

namespace guest {

inline constexpr std::uint64_t kPageSize = 4096;

using Places = BoundedList<std::uint64_t, 16>;

// Pages beside and far from everything in the device tree, none of them in it.
Places EmptyPages(const Board& board);

// Pages where redistributors of further CPUs would be. Empty for a GICv2.
Places AbsentRedistributors(const Board& board);

}  // namespace guest
