// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace microvm {

// Copies what is at `from` to `pieces`, one behind the other. False, and some of it has been
// copied, if there is no page behind memory that is mapped (mmap(2), SIGBUS: a file that was made
// shorter, a file system without room). Any thread.
//
// From the first call on, SIGBUS is handled here; what did so before gets those of other code.
[[nodiscard]] bool CopyGuarded(std::span<const iovec> pieces, const std::byte* from) noexcept;

}  // namespace microvm
